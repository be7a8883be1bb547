import { ask } from "./live_server.js";
import { NAMES, WHY, draw, percent } from "./live_overlay.js";
// A camera, or a video that is played: one picture at a time, as often as the server says, five a
// second at most; each is drawn over when its answer comes.
(() => {
  const $ = (id) => document.getElementById(id);
  const mode = $("live").dataset.mode;
  const video = $("video"), overlay = $("overlay"), stage = $("stage");
  const WINDOW_S = 120, KEPT_MS = 5000;
  const frame = document.createElement("canvas");
  let live = null; // the view: its secret, its rate, what it shows
  let turn = 0; // of starting and stopping: what was begun in an earlier one is given back, not shown
  let seconds = [], marks = [];

  const say = (text) => { if ($("state").textContent !== text) $("state").textContent = text; };
  const pause = (ms) => new Promise((done) => { setTimeout(done, ms); });

  const WITHOUT_CAMERA = {
    NotAllowedError: "The camera may not be used: allow it in the browser's address bar, and start again.",
    NotFoundError: "No camera was found. Plug one in, or play a video file.",
    NotReadableError: "The camera is used by another program. Close that one, and start again.",
    OverconstrainedError: "This camera gives no picture that fits.",
  };

  async function startCamera() {
    if (!navigator.mediaDevices?.getUserMedia) {
      say("Browsers lend a camera only to pages of this machine (127.0.0.1), or over https.");
      return;
    }
    say("Asking for the camera …");
    const asked = ++turn;
    let stream;
    try {
      const wanted = { width: { ideal: 1280 }, height: { ideal: 720 } };
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      if (turn === asked) say(WITHOUT_CAMERA[error.name] || "The camera cannot be started.");
      return;
    }
    if (turn !== asked) { // a second click, or a file was chosen meanwhile
      switchOff(stream);
      return;
    }
    video.srcObject = stream;
    stream.getVideoTracks()[0].onended = () => stop("The camera was switched off.");
    await watch();
  }

  function switchOff(stream) {
    for (const track of stream.getTracks()) track.stop();
  }

  async function startFile(file) {
    if (!file) return;
    turn += 1;
    video.srcObject = null;
    video.src = URL.createObjectURL(file);
    video.onended = () => stop("The video has ended.");
    video.onerror = () => stop("The browser cannot play this file.");
    await watch();
  }

  async function watch() {
    say("Starting …");
    showRunning(true);
    const begun = turn;
    try {
      await video.play();
    } catch {
      if (turn === begun) await stop("The browser cannot play this.");
      return;
    }
    const mine = await enter(begun);
    if (!mine) return;
    seconds = []; marks = [];
    stage.hidden = $("gauges").hidden = $("faces").hidden = false;
    $("begin").disabled = false;
    await loop(mine);
  }

  function showRunning(on) {
    $("start").hidden = $("file").parentElement.hidden = on;
    $("stop").hidden = !on;
  }

  async function enter(begun) {
    while (turn === begun) {
      try {
        const given = await ask("POST", "/api/v1/live");
        if (turn !== begun) { // stopped meanwhile: nobody would ever end this view
          await leave(given.view);
          return null;
        }
        live = { ...given, recording: null };
        return live;
      } catch (error) {
        if (turn !== begun) return null;
        if (error.status !== 429) {
          await stop(error.message);
          return null;
        }
        say(`${error.message} Waiting …`);
        await pause(error.retryMs);
      }
    }
    return null;
  }

  async function stop(why = "Stopped.") {
    const mine = live;
    live = null;
    turn += 1;
    if (video.srcObject) switchOff(video.srcObject);
    if (video.src) URL.revokeObjectURL(video.src);
    video.onended = video.onerror = video.srcObject = null;
    video.removeAttribute("src");
    video.load();
    $("file").value = "";
    stage.hidden = $("gauges").hidden = $("faces").hidden = $("begin").disabled = true;
    showRunning(false);
    say(why);
    if (mine?.recording) await endRecording(mine, true);
    if (mine) await leave(mine.view);
  }

  const leave = (view) => ask("DELETE", `/api/v1/live/${view}`).catch(() => null);

  async function loop(mine) {
    let failures = 0;
    while (live === mine) {
      const began = performance.now();
      let waitMs = 200;
      try {
        const told = await look(mine);
        failures = 0;
        waitMs = told?.pause_ms || waitMs;
        if (told && live === mine) show(told, mine);
      } catch (error) {
        if (live !== mine) return;
        failures += 1;
        if (error.status === 429) {
          waitMs = error.retryMs;
          stage.classList.add("waiting");
          say(`Busy: ${error.message} The next picture is sent in ${Math.round(waitMs / 1000)} s.`);
        } else if (error.status === 404 || failures > 5) {
          await stop(error.message);
          return;
        } else {
          waitMs = error.retryMs || 1000;
          say(error.message);
        }
      }
      await pause(Math.max(0, waitMs - (performance.now() - began)));
    }
  }

  async function look(mine) {
    if (video.readyState < HTMLMediaElement.HAVE_CURRENT_DATA || !video.videoWidth) return null;
    const scale = Math.min(1, mine.longest_side_px / Math.max(video.videoWidth, video.videoHeight));
    frame.width = Math.round(video.videoWidth * scale);
    frame.height = Math.round(video.videoHeight * scale);
    const captured = performance.now();
    frame.getContext("2d").drawImage(video, 0, 0, frame.width, frame.height);
    const jpeg = await new Promise((done) => { frame.toBlob(done, "image/jpeg", 0.8); });
    const path = `/api/v1/live/${mine.view}/pictures?captured_s=${(captured / 1000).toFixed(4)}`;
    return { ...await ask("POST", path, jpeg, "image/jpeg"), captured };
  }

  function show(told, mine) {
    stage.classList.remove("waiting");
    draw(told, video, overlay, mode);
    const now = performance.now();
    marks.push({ now, ms: now - told.captured });
    marks = marks.filter((mark) => now - mark.now < KEPT_MS);
    const sorted = marks.map((mark) => mark.ms).sort((a, b) => a - b);
    const counted = told.faces.filter((face) => face.counted).length;
    $("people").textContent = told.faces.length;
    if ($("read")) $("read").textContent = counted;
    $("latency").textContent = Math.round(sorted[Math.floor(sorted.length / 2)]);
    $("rate").textContent = marks.length < 2 ? "–" : ((marks.length - 1) / ((now - marks[0].now) / 1000)).toFixed(1);
    say(mode === "presence" ? "Looking; expressions are not read." : "Looking.");
    if ($("faces").open) tabulate(told.faces);
    if (told.seconds.length) {
      seconds = [...seconds, ...told.seconds].slice(-WINDOW_S);
      plot();
    }
    if (mine.recording) tellRecording(told, mine);
  }

  function rowOf(cells) {
    const row = document.createElement("tr");
    cells.forEach((text, k) => {
      const cell = document.createElement(k ? "td" : "th");
      if (!k) cell.scope = "row";
      cell.textContent = text;
      row.append(cell);
    });
    return row;
  }

  function tabulate(faces) {
    const rows = faces.map((face, k) => {
      const cells = [k + 1, Math.round(face.height), face.facing.toFixed(2)];
      if (mode !== "presence") {
        cells.push(...NAMES.map((name) => (face.expressions ? percent(face.expressions[name]) : "–")));
        cells.push(face.counted ? "yes" : `no: ${WHY[face.uncounted]}`);
      }
      const row = rowOf(cells);
      row.lastChild.className = "text";
      return row;
    });
    $("faces").querySelector("tbody").replaceChildren(...rows);
  }

  function shares(second) {
    if (!second.expressions) return null;
    const read = second.people ? Math.min(1, second.read / second.people) : 0;
    const { neutral, happy } = second.expressions;
    return { neutral: read * neutral, happy: read * happy, other: read * (1 - neutral - happy), uncertain: 1 - read };
  }

  function svg(name, attributes) {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  const TOP = { top: 8, height: 100 }, BELOW = { top: 128, height: 40 };

  function plot() {
    const last = seconds.at(-1)?.second, most = Math.max(5, ...seconds.map((second) => second.people));
    const unit = 100 / WINDOW_S, parts = [];
    const text = (x, y, said, anchor) => {
      const made = svg("text", { x, y, class: "tick", "text-anchor": anchor });
      made.textContent = said;
      return made;
    };
    for (const [share, box] of [[0, TOP], [0.5, TOP], [1, TOP], [0, BELOW], [1, BELOW]]) {
      const y = box.top + box.height * (1 - share);
      parts.push(svg("line", { x1: "0", x2: "100%", y1: y, y2: y, class: "grid" }));
    }
    for (const second of seconds) {
      const x = unit * (WINDOW_S - 1 - (last - second.second));
      if (x < 0) continue;
      const column = (name, box, low, high) => parts.push(svg("rect", {
        x: `${x}%`, width: `${unit + 0.1}%`, y: box.top + box.height * (1 - high),
        height: Math.max(0, box.height * (high - low)), class: `area flat ${name}`,
      }));
      column("people", BELOW, 0, second.people / most);
      const parted = shares(second);
      let low = 0;
      if (mode === "presence" && second.facing !== null) column("known", TOP, 0, second.facing);
      else if (parted) {
        for (const [name, share] of Object.entries(parted)) { column(name, TOP, low, low + share); low += share; }
      } else if (second.people) column("missing", TOP, 0, 1);
    }
    const [whole, half] = mode === "presence" ? ["1", "0.5"] : ["100 %", "50 %"];
    parts.push(text("0", TOP.top + 12, whole, "start"), text("0", TOP.top + 62, half, "start"),
      text("0", BELOW.top + 12, `${most} people`, "start"),
      text("0", 184, "2 min ago", "start"), text("100%", 184, "now", "end"));
    $("plot").replaceChildren(...parts);
    if (last === undefined) return;
    $("plot").dataset.last = last;
    const rows = seconds.slice().reverse().map((second) => {
      const parted = shares(second), of = (name) => (parted ? percent(parted[name]) : "–");
      const number = (value) => (value === null ? "–" : value.toFixed(2));
      return rowOf(mode === "presence" ? [second.second, second.people, number(second.facing)]
        : [second.second, second.people, second.read, of("neutral"), of("happy"), of("other"), number(second.engagement)]);
    });
    $("seconds").tBodies[0].replaceChildren(...rows);
    find();
  }

  function find() {
    const recent = seconds.slice(-10), now = recent.at(-1);
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    const known = recent.map(shares).filter(Boolean), turned = recent.filter((second) => second.facing !== null);
    let said = now.people === 1 ? "1 person is visible" : `${now.people} people are visible`;
    if (now.withheld) said += ": too few for values of the group";
    else if (mode === "presence" && turned.length) {
      said += `; facing the camera ${mean(turned.map((second) => second.facing)).toFixed(2)} in the last ${turned.length} s`;
    } else if (known.length) {
      said += `; in the last ${known.length} s smiling ${percent(mean(known.map((parts) => parts.happy)))}, `
        + `neutral ${percent(mean(known.map((parts) => parts.neutral)))}`;
    }
    $("finding").textContent = `${said}.`;
  }

  function tellRecording(told, mine) {
    const clock = Math.floor(told.recorded_s || 0);
    $("clock").textContent = `${Math.floor(clock / 60)}:${String(clock % 60).padStart(2, "0")}`;
    if (told.full) endRecording(mine, true);
  }

  function showRecording(on) {
    stage.classList.toggle("recording", on);
    $("recorded-for").hidden = !on;
    $("clock").textContent = "0:00";
    $("begin").hidden = $("course").disabled = $("consent").disabled = on;
    $("end").hidden = $("discard").hidden = !on;
  }

  async function beginRecording(event) {
    event.preventDefault();
    const mine = live;
    if (!mine) return;
    try {
      const wanted = { course: $("course").value, consent: $("consent").checked };
      const told = await ask("POST", `/api/v1/live/${mine.view}/recording`, JSON.stringify(wanted));
      mine.recording = told.recording_id;
      mine.course = told.course;
      showRecording(true);
      $("recorded").textContent = `Recording for “${mine.course}”.`;
      $("end").focus();
    } catch (error) {
      $("recorded").textContent = error.message;
    }
  }

  async function endRecording(mine, keep) {
    if (!mine?.recording) return;
    const { recording, course } = mine;
    mine.recording = null;
    showRecording(false);
    $("consent").checked = false;
    $("recorded").textContent = "Stopping …";
    let told = null, why = "The connection was lost.";
    try {
      told = await ask("DELETE", `/api/v1/live/${mine.view}/recording?keep=${keep}`);
    } catch (error) {
      // A view that has ended keeps what was seen; one that was left has nothing more to stop here.
      if (error.status !== 404 && live === mine) {
        mine.recording = recording;
        showRecording(true);
        $("recorded").textContent = error.message;
        return;
      }
      if (error.status && error.status !== 404) why = error.message;
    }
    if (!mine.recording) $("recorded").textContent = told && !keep ? "Thrown away; nothing was kept." : "";
    if (keep || !told) waitForReport(told ? told.recording_id : recording, course, why);
  }

  // A line for each recording that has ended: one may wait while the next is made.
  async function waitForReport(recording, course, why) {
    const lost = `${why} What the server had is in the library if it could be kept.`;
    const line = document.createElement("li");
    const tell = (...said) => line.replaceChildren(`“${course}”: `, ...said);
    $("aired").prepend(line);
    if (!recording) { tell("There was nothing to keep: no picture came."); return; }
    tell("Making the report …");
    for (;;) {
      const told = await ask("GET", `/api/v1/live/recordings/${recording}`).catch((error) => ({ state: "lost", error }));
      if (told.state === "done" && !told.report) {
        tell("Done; the tables are there, but its page could not be drawn: see the server's log.");
        return;
      }
      if (told.state === "done") {
        const link = document.createElement("a");
        link.href = told.report;
        link.textContent = "Open the report";
        tell("Done. ", link);
        return;
      }
      if (told.state === "failed") { tell("The report could not be made: see the server's log."); return; }
      if (told.state === "lost" && told.error.status === 404) { tell(lost); return; }
      if (told.state === "lost") {
        tell(`${lost} ${told.error.message} Waiting …`);
        await pause(told.error.retryMs);
        continue;
      }
      tell(told.waits_for ? `Kept, and waiting: ${told.waits_for}` : "Making the report …");
      await pause(1000);
    }
  }

  plot();
  $("start").addEventListener("click", startCamera);
  $("file").addEventListener("change", () => startFile($("file").files[0]));
  $("stop").addEventListener("click", () => stop());
  $("recording").addEventListener("submit", beginRecording);
  $("end").addEventListener("click", () => endRecording(live, true));
  $("discard").addEventListener("click", () => {
    if (confirm("Throw away what was recorded? It cannot be got back.")) endRecording(live, false);
  });
  addEventListener("beforeunload", (event) => { if (live?.recording) event.preventDefault(); });
  addEventListener("pagehide", () => {
    if (live) fetch(`/api/v1/live/${live.view}`, { method: "DELETE", keepalive: true });
  });
})();
