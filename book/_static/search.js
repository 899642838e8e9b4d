// The search page: finds the places of the book (SEARCH_INDEX, which gm_book/search.py makes) that have every word
// of the query, and shows the best first.
{
  const SHOWN = 40; // results
  const EXCERPT = 36; // words
  const LITTLE = new Set(
    ("a an and are as at be by can do does for from how i in is it of on or that the these this to what when " +
      "where which why with").split(" "),
  );
  const FORMULA = String.raw`\\\([^]*?\\\)`;
  const CHUNKS = new RegExp(`(?:${FORMULA}|\\S)+`, "gu"); // what stands between spaces, a formula whole
  const WORDS = new RegExp(`(${FORMULA}|[\\p{L}\\p{M}\\p{N}]+)`, "u");

  const plain = (word) => word.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
  const stem = (word) => word.replace(/^(.{4,}?)(?:ies|ing|ed|es|e|y)$|^(.{2,}[^s])s$/, "$1$2");
  // Formulas have no words: what stands in them is TeX.
  const wordsOf = (text) => text.split(WORDS).filter((piece, i) => i % 2 && piece[0] !== "\\").map(plain);

  const places = SEARCH_INDEX.flatMap(([address, entries]) =>
    entries.map(([anchor, title, text], i) => {
      const page = i ? entries[0][1] : "";
      const words = { page: wordsOf(page), title: wordsOf(title), text: wordsOf(text) };
      return { href: `${address}#${anchor}`, page, title, text, words };
    }),
  );

  function parsed(query) {
    const all = [...new Set(wordsOf(query.replace(/['’]s\b/g, "")))];
    const telling = all.filter((word) => !LITTLE.has(word));
    return (telling.length ? telling : all).map((word) => ({ word, stem: stem(word) }));
  }

  // 2 if the word is the one sought, in this or another form; 1 if it begins so; 0 otherwise.
  function likeness(word, sought) {
    if (!word.startsWith(sought.stem)) return 0;
    return stem(word) === sought.stem ? 2 : Number(sought.word.length > 2);
  }

  // How well a place fits; 0 if it lacks a word. The page's title may supply some of the words, not all.
  function score(place, query) {
    const { page, title, text } = place.words;
    const best = (words, sought) => Math.max(0, ...words.map((word) => likeness(word, sought)));
    let sum = 0;
    for (const sought of query) {
      const inText = best(text, sought);
      const often = inText && text.filter((word) => likeness(word, sought) === inText).length;
      const points = [0, 4, 20][best(title, sought)] + [0, 1, 4][inText] + Math.min(often, 4);
      if (!points && !best(page, sought)) return 0;
      sum += points;
    }
    if (query.every((sought) => best(title, sought) === 2)) sum += (20 * query.length) / title.length;
    const phrase = ["", ...query.map(({ word }) => word)].join(" ");
    return query.length > 1 && ["", ...title, ...text].join(" ").includes(phrase) ? sum + 10 : sum;
  }

  function found(query) {
    const scored = places.map((place) => ({ place, points: score(place, query) }));
    const fitting = scored.filter(({ points }) => points).sort((one, other) => other.points - one.points);
    return fitting.map(({ place }) => place);
  }

  function make(name, ...children) {
    const element = document.createElement(name);
    element.append(...children);
    return element;
  }

  function linked(href, ...children) {
    const link = make("a", ...children);
    link.href = href;
    return link;
  }

  function marked(text, query) {
    const isSought = (piece) => query.some((sought) => likeness(plain(piece), sought));
    return text.split(WORDS).map((piece, i) => (i % 2 && isSought(piece) ? make("mark", piece) : piece));
  }

  // The stretch of a text that has most of the words.
  function excerpt(text, query) {
    const chunks = text.match(CHUNKS) ?? [];
    const hits = chunks.map((chunk) =>
      wordsOf(chunk).flatMap((word) => query.filter((sought) => likeness(word, sought))),
    );
    let [begin, most] = [0, 0];
    hits.forEach((here, i) => {
      const start = Math.max(0, i - 6);
      const inside = hits.slice(start, start + EXCERPT).flat();
      const worth = 100 * new Set(inside).size + inside.length;
      if (here.length && worth > most) [begin, most] = [start, worth];
    });
    const end = begin + EXCERPT;
    return (begin ? "… " : "") + chunks.slice(begin, end).join(" ") + (end < chunks.length ? " …" : "");
  }

  function result({ href, page, title, text }, query) {
    const where = page && title ? [make("span", ...marked(page, query), " › ")] : [];
    const link = linked(href, ...where, ...marked(title || page, query));
    return make("li", link, make("p", ...marked(excerpt(text, query), query)));
  }

  // Of the words that begin most alike, the one most nearly as long.
  function nearest(word) {
    const all = places.flatMap(({ words }) => [...words.title, ...words.text]);
    for (let length = word.length - 1; length > word.length / 2; length--) {
      const near = all.filter((other) => other.startsWith(word.slice(0, length)));
      const apart = (other) => Math.abs(other.length - word.length);
      if (near.length) return near.reduce((one, other) => (apart(other) < apart(one) ? other : one));
    }
  }

  const again = (word) => linked(`?q=${encodeURIComponent(word)}`, word);
  const counted = (number) => (number === 1 ? "1 place" : `${number} places`);

  // What became of one word of a query that found nothing, and what to try instead.
  function advice(sought) {
    const number = found([sought]).length;
    if (number) return make("li", again(sought.word), ` occurs in ${counted(number)}.`);
    const near = nearest(sought.word);
    return make("li", `“${sought.word}” occurs nowhere.`, ...(near ? [" Did you mean ", again(near), "?"] : []));
  }

  const asked = new URLSearchParams(location.search).get("q")?.trim() ?? "";
  const query = parsed(asked);
  const field = document.querySelector(".bd-search-container input[name=q]");
  field.value = asked;
  field.focus();
  field.select();

  if (asked) {
    const results = found(query);
    const instead = query.length > 1 ? "Try fewer words, or other ones." : "Try another word for it.";
    const many = results.length > SHOWN ? ` The best ${SHOWN} are shown; one more word leaves fewer.` : "";
    const status = results.length
      ? [make("p", `${counted(results.length)} for “${asked}”.${many}`)]
      : [
          make("p", `Nothing was found for “${asked}”. ${instead}`),
          make("ul", ...query.map(advice)),
        ];
    document.title = `${results.length ? counted(results.length) : "Nothing"} for “${asked}” - ${document.title}`;
    document.getElementById("search-results").append(...results.slice(0, SHOWN).map((place) => result(place, query)));
    // Screen readers tell of what changes in a page, not of what was there when it opened.
    setTimeout(() => document.getElementById("search-status").append(...status), 200);
  }
}
