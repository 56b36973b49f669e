// Sends pictures to /detect with a low threshold, and draws the boxes above the slider's.
"use strict";

const LOWEST = 0.05;
const $ = (id) => document.getElementById(id);
const canvas = $("canvas"), video = $("video"), drop = $("drop");
let picture = null; // what is drawn below the boxes: an ImageBitmap, of the size that boxes are in
let found = [];
let stream = null;
let turn = 0; // answers to pictures that are no longer shown are dropped

async function detect(blob) {
  const headers = { "Content-Type": blob.type || "application/octet-stream" };
  if ($("token").value) headers.Authorization = `Bearer ${$("token").value}`;
  const response = await fetch(`detect?thresh=${LOWEST}`, { method: "POST", body: blob, headers });
  const answer = await response.json().catch(() => ({ error: `status ${response.status}` }));
  if (response.status === 401) $("secret").hidden = false;
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function hue(classId) {
  return `hsl(${(classId * 137.508) % 360} 85% 45%)`;
}

function draw() {
  if (!picture) return;
  const least = Number($("thresh").value);
  const shown = found.filter((one) => one.confidence > least);
  canvas.width = picture.width;
  canvas.height = picture.height;
  canvas.hidden = false;
  $("hint").hidden = true;
  const pen = canvas.getContext("2d");
  pen.drawImage(picture, 0, 0);
  const unit = Math.max(canvas.width, canvas.height) / 500;
  pen.lineWidth = Math.max(2, 1.5 * unit);
  pen.font = `${Math.max(12, 9 * unit)}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  for (const one of shown) {
    const { left, top, right, bottom } = one;
    const text = `${one.class_name} ${Math.round(100 * one.confidence)} %`;
    const height = Math.max(15, 12 * unit), width = pen.measureText(text).width + 6;
    const x = Math.min(Math.max(left, 0), canvas.width - width), y = Math.max(top - height, 0);
    pen.strokeStyle = pen.fillStyle = hue(one.class_id);
    pen.strokeRect(left, top, right - left, bottom - top);
    pen.fillRect(x, y, width, height);
    pen.fillStyle = "#fff";
    pen.fillText(text, x + 3, y + 1.5);
  }
  list(shown);
}

function list(shown) {
  const rows = shown.map((one) => {
    const row = document.createElement("tr");
    const [left, top, right, bottom] = [one.left, one.top, one.right, one.bottom].map(Math.round);
    for (const text of [one.class_name, one.confidence.toFixed(2), `${left}, ${top} – ${right}, ${bottom}`]) {
      row.insertCell().textContent = text;
    }
    return row;
  });
  $("found").tBodies[0].replaceChildren(...rows);
  $("found").hidden = !rows.length;
}

function say(text, isError = false) {
  $("status").textContent = text;
  $("status").classList.toggle("error", isError);
}

function summary(answer) {
  const milliseconds = answer.timings.read_ms + answer.timings.detect_ms;
  return `${answer.model}: ${answer.width} × ${answer.height}, ${milliseconds.toFixed(0)} ms on the server`;
}

async function show(blob) {
  stopCamera();
  const mine = ++turn;
  try {
    const [answer, shown] = await Promise.all([detect(blob), createImageBitmap(blob).catch(() => null)]);
    if (mine !== turn) return;
    found = answer.detections;
    picture = shown || blank(answer);
    draw();
    say(summary(answer) + (shown ? "" : " (a kind of picture that this browser does not show)"));
  } catch (error) {
    if (mine === turn) say(error.message, true);
  }
}

function blank({ width, height }) {
  const empty = new OffscreenCanvas(width, height);
  const pen = empty.getContext("2d");
  pen.fillStyle = "#ddd";
  pen.fillRect(0, 0, width, height);
  return empty;
}

async function startCamera() {
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: true });
  } catch (error) {
    say(`The camera cannot be used: ${error.message}`, true);
    return;
  }
  video.srcObject = stream;
  await video.play();
  $("camera").textContent = "Stop the camera";
  $("camera").setAttribute("aria-pressed", "true");
  const mine = ++turn;
  while (stream && mine === turn) {
    const frame = new OffscreenCanvas(video.videoWidth, video.videoHeight);
    frame.getContext("2d").drawImage(video, 0, 0);
    try {
      const answer = await detect(await frame.convertToBlob({ type: "image/jpeg", quality: 0.9 }));
      if (!stream || mine !== turn) return;
      found = answer.detections;
      picture = frame;
      draw();
      say(summary(answer));
    } catch (error) {
      say(error.message, true);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    }
  }
}

function stopCamera() {
  if (stream) stream.getTracks().forEach((track) => track.stop());
  stream = null;
  $("camera").textContent = "Start the camera";
  $("camera").setAttribute("aria-pressed", "false");
}

$("file").addEventListener("change", () => $("file").files[0] && show($("file").files[0]));
$("camera").addEventListener("click", () => (stream ? stopCamera() : startCamera()));
$("thresh").addEventListener("input", () => {
  $("value").textContent = Number($("thresh").value).toFixed(2);
  draw();
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files].find((one) => one.type.startsWith("image/"));
  if (file) show(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => event.relatedTarget || drop.classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
});
