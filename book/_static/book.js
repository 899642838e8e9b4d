// On paper the page is light, whatever theme it is read in, and what is recalled of earlier chapters is open.
{
  const root = document.documentElement;
  let theme;
  let opened = [];

  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
    opened = [...document.querySelectorAll("details.fold-recall:not([open])")];
    opened.forEach((fold) => (fold.open = true));
  });

  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    opened.forEach((fold) => (fold.open = false));
  });
}

// A formula that is wider than the screen scrolls; the keys reach it there, and only there.
{
  const reach = () => {
    for (const formula of document.querySelectorAll("div.math")) {
      if (formula.scrollWidth > formula.clientWidth) formula.tabIndex = 0;
      else formula.removeAttribute("tabindex");
    }
  };

  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    reach();
    addEventListener("resize", reach);
    document.addEventListener("toggle", reach, true); // what a fold hid has no width before
  });
}
