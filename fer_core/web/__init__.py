"""The web interface: one blueprint a file, and no knowledge of its own about faces or tables.

``app`` puts it together, ``serving`` runs it, ``guard`` says who may come in, ``problems`` how it
refuses. Everything else asks the rooms of ``fer_core`` that the nightly job asks, too.
"""
