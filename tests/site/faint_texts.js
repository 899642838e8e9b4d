// Returns each visible text whose contrast with its ground is too low: under 4.5, for large text under 3 (WCAG 2, AA).
// On paper the ground is white: a browser prints no other, unless it is told to.
(onPaper) => {
  const channels = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);

  const luminance = (rgb) =>
    rgb
      .map((value) => value / 255)
      .map((value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4))
      .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);

  const blend = (top, under) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * alpha + under[i] * (1 - alpha));
  };

  const ground = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) {
      const style = getComputedStyle(e);
      if (onPaper && style.printColorAdjust !== "exact") continue;
      layers.push(channels(style.backgroundColor));
      if ((layers.at(-1)[3] ?? 1) === 1) break;
    }
    return layers.reduceRight((under, layer) => blend(layer, under), [255, 255, 255]);
  };

  const opacity = (element) => {
    let product = 1;
    for (let e = element; e; e = e.parentElement) product *= Number(getComputedStyle(e).opacity);
    return product;
  };

  const faint = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode()); ) {
    const element = node.parentElement;
    const shown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!node.data.trim() || !shown || element.closest("svg, script, style")) continue;
    const style = getComputedStyle(element);
    const under = ground(element);
    const [red, green, blue, alpha = 1] = channels(style.color);
    const seen = blend([red, green, blue, alpha * opacity(element)], under);
    const [light, dark] = [luminance(seen), luminance(under)].sort((a, b) => b - a);
    const contrast = (light + 0.05) / (dark + 0.05);
    const size = parseFloat(style.fontSize);
    const isLarge = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (contrast < (isLarge ? 3 : 4.5)) {
      faint.add(`${node.data.trim().slice(0, 40)}: ${style.color} on ${under} (${contrast.toFixed(1)})`);
    }
  }
  return [...faint];
}
