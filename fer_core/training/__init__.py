"""Makes the expression models: data, architectures, training and evaluation.

Nothing here runs on a recording; ``classify`` uses the weights that come out of here.
"""
