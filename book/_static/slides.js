// The controls of a figure whose frames were drawn beforehand. Its pictures are loaded when the figure comes near, or
// a control is touched. Without this script the figure shows the frame where the controls start, and no controls.
{
  const NEAR = "400px"; // how far below or above the screen

  for (const figure of document.querySelectorAll("figure.frames")) {
    const pictures = JSON.parse(figure.dataset.pictures);
    const texts = JSON.parse(figure.dataset.texts);
    const image = figure.querySelector("img");
    const text = figure.querySelector("pre");
    const controls = [...figure.querySelectorAll("input, select")];
    const places = controls.map((control) => JSON.parse(control.dataset.places ?? "null"));
    const starts = controls.map((control) => control.value);
    const loaded = []; // kept, or the browser may drop them

    function load() {
      if (loaded.length) return;
      for (const address of pictures) {
        const picture = new Image();
        picture.src = address;
        loaded.push(picture);
      }
    }

    function show(at) {
      const counts = controls.map((control, i) => places[i]?.length ?? control.options.length);
      const frame = at.reduce((sum, value, i) => sum * counts[i] + Number(value), 0);
      if (image && image.getAttribute("src") !== pictures[frame]) image.src = pictures[frame];
      if (text) text.textContent = texts[frame];
      controls.forEach((control, i) => {
        if (!places[i]) return;
        const value = places[i][at[i]];
        control.setAttribute("aria-valuetext", `${control.labels[0].textContent} ${value}`);
        control.nextElementSibling.value = value;
      });
    }

    const now = () => controls.map((control) => control.value);

    figure.querySelector(".frames-controls").hidden = false;
    figure.addEventListener("input", () => {
      load();
      show(now());
    });
    for (const name of ["focusin", "pointerdown"]) figure.addEventListener(name, load);
    if (image) image.decoding = "sync"; // the next frame stands at once where the last one stood

    new IntersectionObserver(
      (entries, observer) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        observer.disconnect();
        load();
      },
      { rootMargin: NEAR },
    ).observe(figure);

    addEventListener("beforeprint", () => show(starts));
    addEventListener("afterprint", () => show(now()));
  }
}
