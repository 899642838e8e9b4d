// What the tests ask a page in the browser. Each question is answered by a list of what is wrong, one text each.
window.pageTools = {
  // Opens every fold in the text, or closes those that were closed at first.
  setFolds(open) {
    const folds = [...document.querySelectorAll("article details")];
    this.openAtFirst ??= new Set(folds.filter((fold) => fold.open));
    for (const fold of folds) fold.open = open || this.openAtFirst.has(fold);
  },

  isSeen: (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true }),

  seen(selector) {
    return [...document.querySelectorAll(selector)].filter(this.isSeen);
  },

  // Where a reader finds an element: the section, and how its text begins.
  where(element, text = element.textContent) {
    const section = element.closest("section[id]")?.id ?? "";
    return `#${section}: ${text.trim().replace(/\s+/g, " ").slice(0, 70)}`;
  },

  // Boxes of which a part is beyond the edge, to be scrolled to or cut off. Code may scroll in a box around it.
  wide(selector) {
    return this.seen(selector).flatMap((element) => {
      const boxes = [element];
      while (boxes.at(-1).parentElement.matches("[class*=highlight]")) boxes.push(boxes.at(-1).parentElement);
      const over = Math.max(...boxes.map((box) => box.scrollWidth - box.clientWidth));
      return over > 1 ? [`${this.where(element)} … (${over} pixels too wide)`] : [];
    });
  },

  // Formulas of which a part cannot be seen. A formula on lines of its own may scroll, and so may a table.
  cutFormulas() {
    const article = document.querySelector("article");
    return this.seen("article mjx-container").flatMap((formula) => {
      const { left, right, width } = formula.querySelector("mjx-math").getBoundingClientRect();
      for (let box = formula; box !== article.parentElement; box = box.parentElement) {
        const overflow = getComputedStyle(box).overflowX;
        if (overflow === "visible" && box !== article) continue;
        const edges = box.getBoundingClientRect();
        const reached = left + box.scrollLeft > edges.left - 1; // nothing scrolls further than to the beginning
        if (["auto", "scroll"].includes(overflow) && !box.closest("p, span") && reached) return [];
        const cut = Math.round(Math.max(right - edges.right, edges.left - left));
        if (cut < 1) continue;
        const text = formula.querySelector("mjx-assistive-mml")?.textContent ?? "";
        const block = formula.closest("p, li, td, th, dd, h1, h2, h3, div.math");
        return [`${this.where(block)} … ${text} (${cut} of ${Math.round(width)} pixels cut)`];
      }
      return [];
    });
  },

  // Lines in what cells print that give the verdict on an exercise, "✓ 8.1: correct", where nothing folds them.
  openVerdicts() {
    const outputs = this.seen("article .cell_output").filter((output) => !output.closest("details"));
    const lines = outputs.flatMap((output) => output.innerText.split("\n"));
    return lines.filter((line) => /^\s*[✓✗·] \d+\.\d/.test(line));
  },

  // Links to notebooks of this site that a browser may open as a page of text.
  openedNotebooks() {
    const links = [...document.querySelectorAll("a[href]")].filter((link) => link.pathname.endsWith(".ipynb"));
    const ours = links.filter((link) => link.host === location.host && link.protocol === location.protocol);
    return ours.filter((link) => !link.hasAttribute("download")).map((link) => link.outerHTML.slice(0, 200));
  },

  // Formulas, or parts of them, at which the Tab key stops.
  formulasToTabTo() {
    const parts = document.querySelectorAll("mjx-container[tabindex], mjx-container [tabindex]");
    return [...parts].filter((part) => part.tabIndex >= 0).map((part) => this.where(part));
  },
};
