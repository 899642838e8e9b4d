// Figures: a tap enlarges one, of a slider's the frame that is seen, and on a phone its panels stand below one
// another. Without this script a figure is as wide as the page lets it be.
{
  const figures = [...document.querySelectorAll("figure.drawn, figure.frames:has(> img)")];
  const nameOf = (figure) => figure.querySelector(".figure-number")?.textContent ?? "the figure";
  const picturesOf = (figure) => [...figure.querySelectorAll(":scope > img")];
  const seenIn = () => (document.documentElement.dataset.theme === "dark" ? "in-the-dark" : "in-the-light");

  // Enlarging

  let dialog;

  const makeDialog = () => {
    dialog = document.createElement("dialog");
    dialog.className = "enlarged";
    dialog.innerHTML =
      '<div class="enlarged-top"><strong></strong><button type="button">Close</button></div>' +
      '<div class="enlarged-room" tabindex="0" role="group" aria-label="Enlarged"></div>';
    document.body.append(dialog);
    dialog.querySelector("button").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  };

  const enlarge = (figure, button) => {
    if (!dialog) makeDialog();
    const pictures = picturesOf(figure);
    const image = (pictures.find((picture) => picture.classList.contains(seenIn())) ?? pictures[0]).cloneNode();
    const [width, height] = [image.getAttribute("width"), image.getAttribute("height")];
    image.loading = "eager";
    image.className = figure.classList.contains("frames-inked") ? "inked" : "";
    // As large as it was drawn at least, and larger where the screen has room
    image.style.width = `max(${width}px, min(94vw - 2rem, (96dvh - 5rem) * ${width / height}))`;
    dialog.querySelector(".enlarged-room").replaceChildren(image);
    dialog.querySelector("strong").textContent = nameOf(figure).replace("the figure", "");
    dialog.setAttribute("aria-label", nameOf(figure));
    button.focus(); // where the focus comes back to
    dialog.showModal();
  };

  for (const figure of figures) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "enlarge";
    button.setAttribute("aria-label", `Enlarge ${nameOf(figure)}`);
    button.innerHTML =
      '<svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path fill="none" ' +
      'stroke="currentColor" stroke-width="1.6" d="M10 2h4v4M14 2 9 7M6 14H2v-4M2 14l5-5"/></svg>';
    button.addEventListener("click", () => enlarge(figure, button));
    figure.addEventListener("click", (event) => {
      if (event.target.matches("img")) enlarge(figure, button);
    });
    figure.append(button);
    figure.classList.add("enlarges");
  }

  // Panels

  const narrow = matchMedia("(width < 600px)");
  const PIXELS = 110 / 72; // of a page, for each of a drawing's points

  const stack = (figure) => {
    const [size, ...parts] = figure.dataset.panels.split(";").map((part) => part.split(" ").map(Number));
    const images = picturesOf(figure);
    const panels = parts.map(([x, y, width, height], place) => {
      const panel = document.createElement("span");
      panel.className = "panel";
      panel.style.width = `${width * PIXELS}px`;
      panel.style.aspectRatio = `${width} / ${height}`;
      for (const image of images) {
        const copy = image.cloneNode();
        if (place > 0) copy.alt = "";
        copy.style.width = `${(100 * size[0]) / width}%`;
        copy.style.left = `${(-100 * x) / width}%`;
        copy.style.top = `${(-100 * y) / height}%`;
        panel.append(copy);
      }
      return panel;
    });
    figure.prepend(...panels);
    figure.classList.add("stacked");
  };

  const arrange = () => {
    for (const figure of figures.filter((figure) => figure.dataset.panels)) {
      figure.querySelectorAll(".panel").forEach((panel) => panel.remove());
      figure.classList.remove("stacked");
      if (narrow.matches) stack(figure);
    }
  };

  narrow.addEventListener("change", arrange);
  arrange();
}
