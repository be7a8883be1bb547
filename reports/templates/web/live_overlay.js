// What is drawn over the picture of a camera, and the names of what is seen. Asks the server nothing.
export const NAMES = ["angry", "disgust", "fear", "happy", "neutral", "sad", "surprise"];
const SAID = { angry: "angry", disgust: "disgust", fear: "fear", happy: "smiling", neutral: "neutral", sad: "sad",
  surprise: "surprise" };
export const WHY = { small: "too small", turned: "turned away", unclear: "unclear", presence: "" };
export const percent = (share) => `${Math.round(100 * share)} %`;

export function draw(told, video, overlay, mode) {
  const ratio = window.devicePixelRatio || 1;
  const wide = video.clientWidth, high = video.clientHeight;
  overlay.width = Math.round(wide * ratio);
  overlay.height = Math.round(high * ratio);
  const pen = overlay.getContext("2d");
  pen.scale(ratio, ratio);
  const size = Math.max(9, Math.min(13, wide / 60));
  pen.font = `600 ${size}px system-ui, sans-serif`;
  pen.textBaseline = "middle";
  for (const face of told.faces) {
    const across = wide / told.width, down = high / told.height;
    const [left, top] = [face.left * across, face.top * down], [width, height] = [face.width * across, face.height * down];
    outline(pen, left, top, width, height, face.counted || mode === "presence");
    for (const [x, y] of Object.values(face.landmarks)) {
      dot(pen, x * across, y * down);
    }
    if (face.expressions && width >= 40) bars(pen, left, Math.min(top + height + 3, high - 26), width, face.expressions);
    label(pen, left, top, wide, size, words(face, width < 60));
  }
}

function words(face, short) {
  if (!face.counted) return WHY[face.uncounted];
  const top = NAMES.reduce((a, b) => (face.expressions[b] > face.expressions[a] ? b : a));
  return short ? SAID[top] : `${SAID[top]} ${percent(face.expressions[top])}`;
}

// Everything over a picture is drawn twice, light on dark: no picture hides both.
function outline(pen, left, top, width, height, solid) {
  pen.setLineDash(solid ? [] : [5, 4]);
  for (const [style, thick] of [["#000b", 4], ["#fff", 2]]) {
    pen.strokeStyle = style;
    pen.lineWidth = thick;
    pen.strokeRect(left, top, width, height);
  }
  pen.setLineDash([]);
}

function dot(pen, x, y) {
  for (const [style, radius] of [["#000b", 2.6], ["#fff", 1.6]]) {
    pen.fillStyle = style;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }
}

function label(pen, left, top, wide, size, text) {
  if (!text) return;
  const across = pen.measureText(text).width + 8, tall = size + 5;
  const x = Math.max(0, Math.min(left - 1, wide - across)), y = Math.max(0, top - tall - 1);
  pen.fillStyle = "#000b";
  pen.fillRect(x, y, across, tall);
  pen.fillStyle = "#fff";
  pen.fillText(text, x + 4, y + tall / 2 + 0.5);
}

function bars(pen, left, top, width, expressions) {
  const high = 22, step = Math.max(width, 42) / NAMES.length;
  pen.fillStyle = "#000b";
  pen.fillRect(left - 1, top, step * NAMES.length + 2, high + 3);
  NAMES.forEach((name, k) => {
    const tall = Math.max(1, high * expressions[name]);
    pen.fillStyle = PALE[name];
    pen.fillRect(left + k * step + 1, top + 1 + high - tall, Math.max(1, step - 2), tall);
  });
}
// The dark scheme's colours: the bars stand on black in either.
const PALE = { angry: "#e3133b", disgust: "#c7e4a9", fear: "#965291", happy: "#db9605", neutral: "#766d6e",
  sad: "#4d77f6", surprise: "#17cffa" };
