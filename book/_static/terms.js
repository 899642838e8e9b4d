// A term of the glossary tells its meaning: under the pointer, with the focus of the keys, or by a tap. Escape closes
// it. Without this script, or in a browser without popovers, the term is a link to the glossary.
if (HTMLElement.prototype.showPopover) {
  const WAIT = 200; // milliseconds: a pointer on its way elsewhere opens nothing, and reaches what it opened
  const GAP = 6; // pixels between a term and its meaning
  const EDGE = 8; // pixels between the meaning and the edges of the screen

  let shown = null; // the term whose meaning is open
  let timer;

  const meaningOf = (term) => document.getElementById(term.getAttribute("aria-describedby"));
  const termAt = (element) => element.closest?.("a.term") ?? null;
  const isShownAt = (element) => shown && (termAt(element) === shown || meaningOf(shown).contains(element));

  function show(term) {
    clearTimeout(timer);
    if (term === shown) return;
    if (shown) meaningOf(shown).hidePopover();
    shown = term;
    if (!term) return;
    const box = meaningOf(term);
    box.showPopover();
    // Under the first of the term's lines, or above it if there is no room; it scrolls with the page.
    const line = term.getClientRects()[0];
    const below = line.bottom + GAP;
    const fits = below + box.offsetHeight <= innerHeight || line.top - GAP - box.offsetHeight < 0;
    const rightmost = document.documentElement.clientWidth - box.offsetWidth - EDGE;
    box.style.left = `${scrollX + Math.max(EDGE, Math.min(line.left, rightmost))}px`;
    box.style.top = `${scrollY + (fits ? below : line.top - GAP - box.offsetHeight)}px`;
  }

  function soon(term) {
    clearTimeout(timer);
    timer = setTimeout(show, WAIT, term);
  }

  addEventListener("pointerover", (event) => {
    if (event.pointerType !== "mouse") return;
    if (isShownAt(event.target)) clearTimeout(timer);
    else if (termAt(event.target)) soon(termAt(event.target));
    else if (shown && !isShownAt(document.activeElement)) soon(null);
    else clearTimeout(timer);
  });

  addEventListener("focusin", (event) => {
    if (isShownAt(event.target)) return;
    if (event.target.matches(":focus-visible")) show(termAt(event.target));
  });

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") show(null);
  });

  // The first tap on a term asks for its meaning, where a link to the entry stands; the second closes it.
  let touched = false;

  addEventListener("pointerdown", (event) => {
    touched = event.pointerType !== "mouse";
    if (!isShownAt(event.target)) show(null);
  });

  addEventListener("click", (event) => {
    const term = termAt(event.target);
    if (!term || !touched) return;
    event.preventDefault();
    show(term === shown ? null : term);
  });

  for (const name of ["resize", "beforeprint"]) addEventListener(name, () => show(null));
}
