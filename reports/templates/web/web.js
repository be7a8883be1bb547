"use strict";
// What makes the pages comfortable: dropping files, and progress without reloading. Without it
// everything still works.
(() => {
  for (const zone of document.querySelectorAll("[data-drop]")) {
    const input = zone.querySelector("input[type=file]");
    zone.querySelector("[data-drop-hint]").hidden = false;
    const lit = (on) => (event) => {
      event.preventDefault();
      zone.classList.toggle("lit", on);
    };
    zone.addEventListener("dragover", lit(true));
    zone.addEventListener("dragleave", lit(false));
    zone.addEventListener("drop", (event) => {
      lit(false)(event);
      if (event.dataTransfer.files.length) {
        input.files = event.dataTransfer.files;
        input.dispatchEvent(new Event("change", { bubbles: true }));
      }
    });
  }

  // A file that takes a while: say so, and let nobody send it twice.
  for (const form of document.querySelectorAll("form[enctype]")) {
    form.addEventListener("submit", () => {
      const button = form.querySelector("button");
      button.disabled = true;
      button.textContent = "Sending …";
    });
  }
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  const show = (place, seen, length, text) => {
    const bar = place.querySelector("progress");
    if (length > 0) {
      bar.max = length;
      bar.value = Math.min(seen, length);
    } else bar.removeAttribute("value");
    place.querySelector("[data-told]").textContent = text;
  };

  const job = document.querySelector("[data-follow]");
  if (job) {
    const events = new EventSource(`${job.dataset.follow}/events`);
    // The news that it is stopped would reload the page, and with that break off the stopping itself.
    document.querySelector("[data-stop]").addEventListener("submit", (event) => {
      events.close();
      event.target.querySelector("button").disabled = true;
      job.querySelector("[data-told]").textContent = "Stopping …";
    });
    events.addEventListener("message", (event) => {
      const now = JSON.parse(event.data);
      if (now.state === "done") {
        events.close();
        // What is deleted soon: this page says when, and deletes it at once.
        if (now.keep) location.replace(now.report);
        else location.reload();
      } else if (now.state !== "running" && now.state !== "waiting") {
        events.close();
        location.reload();
      } else {
        const told = now.note
          || (now.state === "waiting" ? `${now.ahead} before it.`
            : now.video_s ? `${Math.floor(now.seen_s)} of ${Math.floor(now.video_s)} seconds.` : "Opening it …");
        show(job, now.seen_s, now.video_s, told);
      }
    });
  }

  const night = document.querySelector("[data-night]");
  if (night) {
    let ran = !night.hidden;
    const look = async () => {
      try {
        const answer = await fetch("/api/v1/night");
        if (!answer.ok) return;
        const now = await answer.json();
        if (ran && !now.running) location.reload();
        ran = now.running;
        night.hidden = !now.running;
        const where = now.name ? `${now.name}: ${Math.floor(now.seen_s)} of ${Math.floor(now.video_s)} s. ` : "";
        show(night, now.seen_s, now.video_s, `${where}${now.finished} of ${now.recordings} recordings are done.`);
      } catch { /* the server is gone for the moment */ }
    };
    setInterval(look, 2000);
  }
})();
