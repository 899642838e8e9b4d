// The plane of codes on the first page. The page has a picture of all its digits; this draws the one under the
// pointer, and between four of them their weighted mean. It moves by itself until somebody takes over.
for (const figure of document.querySelectorAll("figure.plane")) {
  const { codes, readAs } = JSON.parse(figure.dataset.plane);
  const side = codes.length;
  const field = figure.querySelector(".plane-field");
  const picture = field.querySelector("img");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const LAP = 60_000; // milliseconds of a lap of the tour
  const SHARP = 4; // pixels of the drawing for one of a digit

  const make = (tag, className, parent, attributes = {}) => {
    const element = document.createElement(tag);
    element.className = className;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    parent.append(element);
    return element;
  };
  const mark = make("span", "plane-mark", field);
  const aside = document.createElement("div");
  aside.className = "plane-aside";
  field.after(aside);
  const canvas = make("canvas", "plane-digit", aside, { role: "img" });
  const says = make("p", "plane-says", aside);
  const button = make("button", "plane-tour btn btn-sm", aside, { type: "button" });
  const how = make("p", "plane-how", aside);
  how.textContent = "Point, drag, or use the arrow keys.";
  const told = make("span", "visually-hidden", aside, { role: "status" });
  canvas.width = canvas.height = 28 * SHARP;
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";

  // Not an image any more, but something to move about in.
  field.tabIndex = 0;
  field.setAttribute("role", "application");
  field.setAttribute("aria-label", "Plane of codes: the arrow keys move about in it");
  figure.classList.add("plane-lives");

  let place = [side / 2, side / 2]; // in digits, from the upper left corner
  const inside = (value) => Math.min(Math.max(value, 0.5), side - 0.5);
  const nearest = () => place.map((value) => Math.floor(inside(value)));
  const code = ([column, row]) => [codes[column], codes[side - 1 - row]];
  const number = (value) => value.toFixed(1).replace("-", "−");

  const draw = () => {
    if (!picture.naturalWidth) return;
    const size = picture.naturalWidth / side;
    const [x, y] = place.map((value) => inside(value) - 0.5);
    const [left, top] = [Math.min(Math.floor(x), side - 2), Math.min(Math.floor(y), side - 2)];
    let drawn = 0;
    for (const [i, j] of [[0, 0], [1, 0], [0, 1], [1, 1]]) {
      const weight = (i ? x - left : 1 - x + left) * (j ? y - top : 1 - y + top);
      if (weight <= 0) continue;
      drawn += weight;
      pen.globalAlpha = weight / drawn; // over what is there already this gives each its weight
      pen.drawImage(picture, (left + i) * size, (top + j) * size, size, size, 0, 0, canvas.width, canvas.height);
    }
    mark.style.left = `${(100 * inside(place[0])) / side}%`;
    mark.style.top = `${(100 * inside(place[1])) / side}%`;
    const [column, row] = nearest();
    const [z1, z2] = code([column, row]).map(number);
    says.textContent = `code (${z1}, ${z2})`;
    canvas.setAttribute("aria-label", `The digit of the code (${z1}, ${z2}): read as a ${readAs[row * side + column]}`);
  };

  // The tour: two waves whose lap is long, through the middle and near all edges.
  let touring = false;
  let seen = true;
  let frame = 0;
  let along = 0;
  let before;
  const step = (now) => {
    along += Math.min(now - (before ?? now), 100) / LAP;
    before = now;
    const at = (turns, phase) => side * (0.5 + 0.44 * Math.sin(2 * Math.PI * (turns * along + phase)));
    place = [at(3, 0), at(4, 0)];
    draw();
    frame = requestAnimationFrame(step);
  };
  const run = () => {
    cancelAnimationFrame(frame);
    before = undefined;
    if (touring && seen) frame = requestAnimationFrame(step);
  };
  const tour = (on) => {
    touring = on;
    button.textContent = on ? "Stop the tour" : "Take a tour";
    figure.classList.toggle("plane-touring", on);
    run();
  };
  const go = (to) => {
    tour(false);
    place = to;
    draw();
  };
  const point = (event) => {
    const box = field.getBoundingClientRect();
    go([((event.clientX - box.left) / box.width) * side, ((event.clientY - box.top) / box.height) * side]);
  };

  field.addEventListener("pointerdown", (event) => {
    field.setPointerCapture(event.pointerId);
    point(event);
  });
  field.addEventListener("pointermove", (event) => {
    if (event.pointerType === "mouse" || event.buttons) point(event);
  });
  field.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    go(nearest().map((value, i) => inside(value + by[i] + 0.5)));
    told.textContent = canvas.getAttribute("aria-label");
  });
  button.addEventListener("click", () => tour(!touring));
  new IntersectionObserver(([entry]) => {
    seen = entry.isIntersecting;
    run();
  }).observe(figure);
  still.addEventListener("change", () => tour(!still.matches));

  picture.decode().then(draw, () => {});
  tour(!still.matches);
}
