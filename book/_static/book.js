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
    document.querySelectorAll("[loading=lazy]:not(.in-the-dark)").forEach((late) => (late.loading = "eager"));
  });

  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
    opened.forEach((fold) => (fold.open = false));
  });
}

// A formula that is wider than the screen is drawn smaller, down to this share of its size. What is wider still
// scrolls; the keys reach it there, and only there.
{
  const SMALLEST = 0.65;

  const fit = () => {
    const formulas = [...document.querySelectorAll("div.math")];
    for (const formula of formulas) {
      formula.style.fontSize = "";
      formula.removeAttribute("tabindex");
    }
    const shares = formulas.map((formula) => (formula.clientWidth - 1) / formula.scrollWidth);
    formulas.forEach((formula, i) => {
      if (formula.scrollWidth <= formula.clientWidth) return;
      formula.style.fontSize = `${100 * Math.max(shares[i], SMALLEST)}%`;
      if (shares[i] < SMALLEST) formula.tabIndex = 0;
    });
  };

  addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    fit();
    addEventListener("resize", fit);
    document.addEventListener("toggle", fit, true); // what a fold hid has no width before
  });
}
