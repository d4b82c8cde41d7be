"use strict";
// Shows the rows of #data. Text from the web is only set as text content, or as the link of an
// http(s) URL, and never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const byId = (id) => document.getElementById(id);
  const FIRST = 48, MORE = 192, SIDE = 160;

  const photos = data.rows.map((cells) => {
    const photo = {};
    data.columns.forEach((name, at) => { photo[name] = cells[at] ?? ""; });
    for (const name of data.shared) photo[name] = data.strings[photo[name] || 0];
    photo.class = data.classes[photo.class];
    photo.reason = data.reasons[photo.reason];
    photo.split = data.splits[photo.split] ?? "";
    return photo;
  });
  for (const photo of photos) photo.original = photo.duplicate_of ? photos[photo.duplicate_of - 1] : null;
  const own = photos.filter((photo) => !photo.guest);

  const STAGES = { download: "not downloaded", clean: "dropped by clean" };
  const named = (reason) => data.words[reason];
  const describe = (reason) => reason === "kept" ? "in the dataset"
    : `${named(reason)}, ${STAGES[reason.split(".")[0]]}`;
  const number = (value) => value.toLocaleString("en");
  const counted = (value, word) => `${number(value)} ${word}${value === 1 ? "" : "s"}`;

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in node) node[name] = value; else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  // Return a link for an http(s) URL, else the text.
  function link(text) {
    let url = null;
    try { url = new URL(text); } catch { /* not a URL */ }
    if (!url || !["http:", "https:"].includes(url.protocol)) return document.createTextNode(text);
    return make("a", { href: url.href, rel: "noopener noreferrer nofollow", textContent: text });
  }

  // ---- cards

  const thumbOf = (photo) => photo.thumb || (photo.reason === "download.duplicate" && photo.original
    ? photo.original.thumb : "");
  const alt = (photo) => [photo.class.name, photo.split || describe(photo.reason),
    photo.width ? `${photo.width} by ${photo.height} pixels` : "", photo.id].filter(Boolean).join(", ");

  function picture(photo) {
    const image = make("img", { alt: alt(photo), loading: "lazy", decoding: "async" });
    if (photo.width) {
      const scale = SIDE / Math.max(photo.width, photo.height);
      image.width = Math.max(1, Math.round(photo.width * scale));
      image.height = Math.max(1, Math.round(photo.height * scale));
    }
    image.src = `data:image/webp;base64,${thumbOf(photo)}`;
    return image;
  }

  function card(photo, list) {
    const button = make("button", { type: "button", className: "card" });
    button.setAttribute("aria-haspopup", "dialog");
    if (thumbOf(photo)) button.append(picture(photo));
    else {
      button.classList.add("bare");
      button.append(make("span", { className: "why", textContent: named(photo.reason) }),
        make("span", { className: "address", textContent: photo.url || photo.id }));
      if (photo.detail) button.append(make("span", { className: "detail", textContent: photo.detail }));
    }
    if (photo.group) button.append(make("span", { className: "mark", title: "has near-duplicates" }));
    const notes = notesOf(photo);
    if (notes.length) button.append(make("span", { className: "notes" }, ...notes.map((text) => make("span", { textContent: text, title: text }))));
    button.dataset.at = photos.indexOf(photo);
    showMark(button, photo);
    button.addEventListener("click", () => { if (!brush(photo)) open(photo, list); });
    return make("li", {}, button);
  }

  // What the machine noticed about a photo, in words; nothing was dropped for it.
  const notesOf = (photo) => [...photo.moved_from ? ["moved by hand"] : [], ...photo.suspected_class ? [`like ${classOf(photo.suspected_class)}`] : [],
    ...photo.flags.split(" ").filter(Boolean).map((flag) => data.flags[flag])];
  const classOf = (key) => data.classes.find((one) => one.key === key)?.name ?? key;

  // ---- marks for corrections.csv; they are kept for this version of the dataset

  const HEADER = "match,action,class,reason,by", STORE = `corrections of ${data.version}`, WHO = "corrections by";
  const marks = new Map(); // by SHA-256: { action, class, reason }
  let storing = true;

  function stored(name, value) {
    try {
      if (value === undefined) return localStorage.getItem(name);
      localStorage.setItem(name, value);
    } catch { storing = false; } // refused by the browser's settings, or full
    return null;
  }

  function restoreMarks() {
    try {
      for (const [match, mark] of JSON.parse(stored(STORE)) ?? []) {
        if (/^[0-9a-f]{64}$/.test(match) && ["exclude", "move"].includes(mark.action)) marks.set(match, mark);
      }
    } catch { /* not ours */ }
    byId("by").value = stored(WHO) ?? "";
  }

  const markable = (photo) => ["kept", "clean.surplus"].includes(photo.reason) && /^[0-9a-f]{64}$/.test(photo.sha256);
  const verdict = (mark) => mark.action === "move" ? `move to ${classOf(mark.class)}` : `exclude: ${mark.reason}`;
  const cell = (text) => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  const asLine = ([match, mark]) => [match, mark.action, mark.class, mark.reason, byId("by").value.trim()].map(cell).join(",");

  function showMark(button, photo) {
    const mark = marks.get(photo.sha256), shown = button.querySelector(".verdict");
    shown?.remove();
    button.classList.toggle("marked", Boolean(mark));
    if (mark && markable(photo)) button.append(make("span", { className: "verdict", textContent: verdict(mark), title: verdict(mark) }));
  }

  function showMarks() {
    const count = (action) => [...marks.values()].filter((mark) => mark.action === action).length;
    byId("marked").textContent = marks.size ? `${number(count("exclude"))} to exclude, ${number(count("move"))} to move` : "no marks";
    byId("lines").value = `${[HEADER, ...[...marks].map(asLine)].join("\n")}\n`;
    byId("kept-where").textContent = storing ? "" : "This browser does not store the marks: copy or download them before you close the page.";
    for (const button of document.querySelectorAll("[data-at]")) showMark(button, photos[button.dataset.at]);
    if (current) byId("large-marked").textContent = marks.has(current.sha256) ? verdict(marks.get(current.sha256)) : "";
  }

  // Mark a photo, or remove its mark if it is marked so already. Returns what is wrong, or "".
  function mark(photo, action) {
    if (!markable(photo)) return "only photos of the dataset can be marked";
    const target = action === "move" ? byId("target").value : "", reason = byId("why").value.trim();
    if (target === photo.class.key) return "it is in this class already";
    if (!reason) return "a reason is needed";
    const old = marks.get(photo.sha256), next = { action, class: target, reason };
    if (action === "none" || (old && verdict(old) === verdict(next))) marks.delete(photo.sha256);
    else marks.set(photo.sha256, next);
    stored(STORE, JSON.stringify([...marks]));
    byId("review").open = true;
    showMarks();
    return "";
  }

  function tell(problem) { if (problem) byId(dialog.open ? "large-marked" : "copied").textContent = problem; }

  // Apply what selecting a photo does in the review. Returns false if it opens the photo.
  function brush(photo) {
    const action = byId("marking").elements.brush.value;
    if (!byId("review").open || dialog.open || action === "open" || !markable(photo)) return false;
    tell(mark(photo, action));
    return true;
  }

  // Return a list that shows its first items, and a button for more.
  function wall(items, render, first = FIRST) {
    const list = make("ul", { className: "wall" });
    const box = make("div", {}, list);
    let shown = 0;
    const grow = (count) => {
      list.append(...items.slice(shown, shown + count).map((item) => render(item, items)));
      shown = Math.min(shown + count, items.length);
    };
    grow(first);
    if (shown < items.length) {
      const more = make("button", { type: "button", className: "more" });
      const say = () => { more.textContent = `Show ${number(Math.min(MORE, items.length - shown))} more of ${number(items.length - shown)}`; };
      more.addEventListener("click", () => {
        const next = shown;
        grow(MORE);
        if (shown < items.length) say(); else more.remove();
        list.children[next].querySelector("button").focus();
      });
      say();
      box.append(more);
    }
    list.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      const ends = { Home: 0, End: -1 }[event.key];
      if (step === undefined && ends === undefined) return;
      const cards = [...list.querySelectorAll("button")];
      const at = cards.indexOf(document.activeElement);
      const to = step === undefined ? cards.at(ends) : cards[at + step];
      if (to) { event.preventDefault(); to.focus(); }
    });
    return box;
  }

  // ---- the large view

  const dialog = byId("large");
  let current = null, around = [], missing = false;

  function fact(name, ...value) {
    byId("large-facts").append(make("div", {}, make("dt", { textContent: name }), make("dd", {}, ...value)));
  }

  function largePicture(photo) {
    const image = picture(photo);
    image.loading = "eager";
    if (photo.file && !missing) {
      const thumb = image.src;
      image.addEventListener("error", () => { missing = true; image.src = thumb; }, { once: true });
      image.src = `../data/dataset/${photo.file.split("/").map(encodeURIComponent).join("/")}`;
    }
    if (photo.width) { image.width = photo.width; image.height = photo.height; }
    return image;
  }

  function fill(photo) {
    current = photo;
    byId("large-mark").hidden = !markable(photo);
    if (photo.suspected_class) byId("target").value = byId("large-target").value = photo.suspected_class; // most often right
    const at = around.indexOf(photo), place = at < 0 || around.length < 2 ? "" : `, ${number(at + 1)} of ${number(around.length)}`;
    byId("large-title").textContent = `${photo.class.name}: ${photo.split || describe(photo.reason)}${place}`;
    byId("large-photo").replaceChildren(thumbOf(photo) ? largePicture(photo)
      : make("p", { className: "none", textContent: "No picture: it was not downloaded or could not be decoded." }));
    byId("large-facts").replaceChildren();
    fact("Status", describe(photo.reason) + (photo.detail ? `: ${photo.detail}` : ""));
    if (photo.suspected_class) fact("Similarity", `${(photo.suspect / 1000).toFixed(3)} higher to ${classOf(photo.suspected_class)} than to its own class`);
    if (notesOf(photo).length) fact("Noticed", notesOf(photo).join(", "));
    if (photo.original) {
      const original = photo.original;
      fact(photo.reason === "clean.cross_class" ? "Same picture as" : "Duplicate of", make("button", {
        type: "button", className: "plain", textContent: `${original.id} (${original.class.name})`,
        onclick: () => { fill(original); byId("close").focus(); }, // fill() has removed this button
      }));
    }
    fact("Id", photo.id);
    fact("URL", link(photo.url));
    if (photo.final_url) fact("Redirected to", link(photo.final_url));
    if (photo.rescued_from) fact("Rescued from", link(photo.rescued_from));
    if (photo.moved_from) fact("Moved by hand from", classOf(photo.moved_from));
    if (photo.landing) fact("Page", link(photo.landing));
    fact("Source", photo.source || "not stated");
    fact("Licence", photo.license ? link(photo.license) : "not stated");
    fact("Author", photo.author ? link(photo.author) : "not stated");
    if (photo.width) fact("Size", `${number(photo.width)} × ${number(photo.height)} pixels`);
    if (photo.bytes) fact("Bytes", number(photo.bytes));
    if (photo.sha256) fact("SHA-256", make("code", { textContent: photo.sha256 }));
    if (photo.hash) fact("Perceptual hash", make("code", { textContent: photo.hash }));
    if (photo.group) fact("Group", make("a", {
      href: `#q=${encodeURIComponent(photo.group)}`, textContent: photo.group, onclick: () => dialog.close(),
    }));
    fact("Class", `${photo.class.key} (${photo.class.label})${photo.class.voc ? `, VOC ${photo.class.voc}` : ""}`);
    if (photo.synset) fact("Synset of the photo", photo.synset);
    if (photo.file) fact("File", make("code", { textContent: `data/dataset/${photo.file}` }));
    // Not `disabled`: the focused button would lose the focus, and the dialog its keys.
    byId("before").setAttribute("aria-disabled", at <= 0);
    byId("after").setAttribute("aria-disabled", at < 0 || at >= around.length - 1);
    showMarks();
  }

  function open(photo, list) {
    around = list;
    fill(photo);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  function walk(step) {
    const at = around.indexOf(current), next = at < 0 ? null : around[at + step];
    if (next) fill(next);
  }

  byId("close").addEventListener("click", () => dialog.close());
  byId("before").addEventListener("click", () => walk(-1));
  byId("after").addEventListener("click", () => walk(1));
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step) { event.preventDefault(); walk(step); }
  });

  // ---- dropped photos

  function pair(photo) {
    const side = (one, words) => {
      const shown = card(one, [one]).firstChild;
      return make("figure", {}, shown, make("figcaption", { textContent: words }));
    };
    const where = (one) => `${one.class.name}, ${one.split || named(one.reason)},`;
    const item = make("li", { className: "pair" }, side(photo, `dropped: ${photo.class.name}, ${photo.id}`));
    if (photo.original) item.append(side(photo.original, `${photo.reason === "clean.cross_class" ? "same picture" : "duplicate of"}: ${where(photo.original)} ${photo.original.id}`));
    return item;
  }

  function captioned(photo, list) {
    const item = card(photo, list);
    item.className = "captioned";
    if (thumbOf(photo)) item.append(make("span", { className: "caption", textContent: photo.detail || photo.class.name }));
    return item;
  }

  const KINDS = [
    ["Excluded by hand", ["clean.excluded"], captioned, "corrections.csv excludes these photos and their copies."],
    ["Placeholders", ["clean.placeholder", "download.placeholder"], captioned,
      "“Photo unavailable” pictures: known ones, and nearly blank pictures that several URLs return."],
    ["Corrupt", ["clean.corrupt"], captioned, "Could not be decoded completely. The picture shows the decoded part."],
    ["Duplicates", ["download.duplicate", "clean.exact_duplicate", "clean.near_duplicate"], pair,
      "Each beside the photo that it repeats."],
    ["In two classes", ["clean.cross_class"], pair,
      "The same picture appears in two classes, so its label is ambiguous."],
    ["Size out of bounds", ["clean.too_small", "clean.too_many_pixels", "download.too_small", "download.too_many_pixels"], captioned,
      "Too few or too many pixels."],
  ];
  const listed = new Set([...KINDS.flatMap((kind) => kind[1]), "kept", "clean.surplus"]);
  const others = data.reasons.filter((reason) => reason.startsWith("clean.") && !listed.has(reason));
  if (others.length) KINDS.push(["Other reasons", others, captioned, others.map(named).join(", ")]);
  for (const [title, reasons, render, note] of KINDS) {
    const items = own.filter((photo) => reasons.includes(photo.reason));
    if (!items.length) continue;
    const box = make("section", { className: "kind" },
      make("h3", {}, title, " ", make("span", { className: "n", textContent: number(items.length) })),
      make("p", { textContent: note }), wall(items, render, 24));
    byId("removed-list").append(box);
  }
  byId("removed").hidden = document.querySelector(".jump a[href='#removed']").hidden = !byId("removed-list").children.length;

  // ---- search and filters; the URL's #fragment holds their state, so that losses are plain links

  const FIELDS = ["class", "split", "source", "reason", "flag", "size"];
  const initial = (name) => name === "reason" ? "kept" : "";
  const search = byId("q");
  const option = (value, text) => make("option", { value, textContent: text });

  function optionsFor(name, values) {
    byId(name).append(...values.map(([value, text]) => option(value, text)));
  }
  optionsFor("class", data.classes.filter((one) => own.some((photo) => photo.class === one)).map((one) => [one.key, one.name]));
  optionsFor("split", data.splits.map((one) => [one, one]));
  optionsFor("source", [...new Set(own.map((photo) => photo.source).filter(Boolean))].sort().map((one) => [one, one]));
  const has = (photo, flag) => flag === "marked" ? markable(photo) && marks.has(photo.sha256) : flag === "suspect" ? photo.suspected_class
    : flag === "moved" ? photo.moved_from : photo.flags.split(" ").includes(flag);
  const noted = (flag) => own.filter((photo) => has(photo, flag)).length;
  optionsFor("flag", [["marked", "marked in the review"],
    ...[["suspect", "looks like another class"], ["moved", "moved by hand"], ...Object.entries(data.flags)].filter(([flag]) => noted(flag)).map(([flag, text]) => [flag, `${text} (${number(noted(flag))})`])]);
  optionsFor("target", data.classes.map((one) => [one.key, one.name]));
  byId("large-target").append(...[...byId("target").options].map((one) => one.cloneNode(true)));
  const tally = new Map();
  for (const photo of own) tally.set(photo.reason, (tally.get(photo.reason) || 0) + 1);
  optionsFor("reason", [["kept", `in the dataset (${number(tally.get("kept") || 0)})`], ["any", "all candidates"], ["lost", "all not in the dataset"]]);
  for (const [stage, title] of Object.entries(STAGES)) {
    const group = make("optgroup", { label: title });
    for (const reason of data.reasons.filter((one) => one.startsWith(`${stage}.`) && tally.has(one))) {
      group.append(option(reason, `${named(reason)} (${number(tally.get(reason))})`));
    }
    if (group.children.length) byId("reason").append(group);
  }

  function haystack(photo) {
    photo.text ??= [photo.id, photo.url, photo.final_url, photo.landing, photo.author, photo.license,
      photo.detail, photo.sha256, photo.hash, photo.group, photo.synset, photo.file, photo.source,
      photo.class.key, photo.class.name, photo.class.voc].join("\n").toLowerCase();
    return photo.text;
  }

  function matches(photo, wanted, words) {
    if (wanted.class && photo.class.key !== wanted.class) return false;
    if (wanted.split && photo.split !== wanted.split) return false;
    if (wanted.source && photo.source !== wanted.source) return false;
    if (wanted.flag && !has(photo, wanted.flag)) return false;
    if (wanted.reason === "lost" ? photo.reason === "kept"
      : wanted.reason !== "any" && photo.reason !== wanted.reason) return false;
    if (wanted.size) {
      const [low, high] = wanted.size.split("-"), side = Math.min(photo.width, photo.height);
      if (!photo.width || side < Number(low) || (high && side > Number(high))) return false;
    }
    return words.every((word) => haystack(photo).includes(word));
  }

  const rank = (photo) => photo.suspected_class ? 2000 + Number(photo.suspect) : 0;

  const tableOf = (key, part) => part.startsWith("download.") ? `data/raw/${key}.csv`
    : part.startsWith("clean.") ? `data/clean/${key}.csv` : "data/dataset/manifest.csv";

  function leftOut(key, part, are) {
    const count = data.left_out[`${key} ${part}`];
    return count ? [make("p", { className: "none", textContent: `${number(count)} ${are} in ${tableOf(key, part)}.` })] : [];
  }

  function show() {
    const wanted = Object.fromEntries(FIELDS.map((name) => [name, byId(name).value]));
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = own.filter((photo) => matches(photo, wanted, words));
    const groups = new Map();
    for (const photo of found) {
      if (!groups.has(photo.class)) groups.set(photo.class, new Map());
      const parts = groups.get(photo.class), part = photo.split || photo.reason;
      if (!parts.has(part)) parts.set(part, []);
      parts.get(part).push(photo);
    }
    const sections = [...groups].map(([one, parts]) => {
      const all = [...parts.values()].flat().length;
      const box = make("section", { className: "class" },
        make("h3", {}, one.name, " ", make("small", { textContent: [one.key, one.voc && `VOC ${one.voc}`, counted(all, "photo")].filter(Boolean).join(" · ") })));
      box.dataset.class = one.key;
      for (const [part, items] of parts) {
        items.sort((a, b) => rank(b) - rank(a)); // suspects stand first
        const group = make("div", { className: "part" }, make("h4", {}, data.splits.includes(part) ? part : describe(part), " ",
          make("span", { className: "n", textContent: number(items.length) })), wall(items, card));
        group.dataset.part = part;
        group.append(...leftOut(one.key, part, "more are"));
        box.append(group);
      }
      if (wanted.reason !== "lost") for (const part of data.splits) {
        if (!parts.has(part)) box.append(...leftOut(one.key, part, `of ${part} are`));
      }
      return box;
    });
    byId("walls").replaceChildren(...sections);
    byId("result").textContent = found.length
      ? `Showing ${number(found.length)} of ${number(own.length)}${byId("result").dataset.where}` : "No photo matches. Clear a filter.";
  }

  function toFragment() {
    const state = new URLSearchParams();
    for (const name of FIELDS) if (byId(name).value !== initial(name)) state.set(name, byId(name).value);
    if (search.value) state.set("q", search.value);
    history.replaceState(null, "", `#${state.size ? state : "gallery"}`);
  }

  // Fields that the state does not name get their initial value.
  function restore(state) {
    for (const name of FIELDS) {
      const value = state.get(name) ?? initial(name);
      byId(name).value = [...byId(name).options].some((one) => one.value === value) ? value : initial(name);
    }
    search.value = state.get("q") ?? "";
  }

  function fromFragment() {
    const fragment = location.hash.slice(1);
    if (!fragment.includes("=")) return false;
    restore(new URLSearchParams(fragment));
    return true;
  }

  function follow() {
    if (!fromFragment()) return;
    show();
    byId("gallery").scrollIntoView();
    byId("gallery-title").focus({ preventScroll: true });
  }

  const filters = byId("filters");
  const changed = () => { show(); toFragment(); };
  filters.addEventListener("input", changed);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filters.addEventListener("reset", (event) => {
    event.preventDefault(); // the browser clears the fields only after this handler
    restore(new URLSearchParams());
    changed();
  });
  window.addEventListener("hashchange", follow);
  document.addEventListener("click", (event) => {
    // Selecting the same loss twice does not change the fragment, but must show it again.
    const chosen = event.target.closest?.("a[href^='#']");
    if (chosen && chosen.hash === location.hash) follow();
  });

  // ---- the review's fields, buttons and keys

  const review = byId("review");
  for (const name of ["why", "target"]) { // the large view has the same two fields
    const fields = [byId(name), byId(`large-${name}`)];
    fields[1].value = fields[0].value;
    for (const field of fields) field.addEventListener("input", () => { for (const one of fields) one.value = field.value; });
  }
  for (const [id, action] of [["exclude", "exclude"], ["move", "move"], ["unmark", "none"]]) {
    byId(id).addEventListener("click", () => tell(mark(current, action)));
  }
  byId("by").addEventListener("input", () => { stored(WHO, byId("by").value); showMarks(); });
  byId("marking").addEventListener("submit", (event) => event.preventDefault());
  byId("copy").addEventListener("click", async () => {
    const lines = byId("lines");
    let done = true;
    try { await navigator.clipboard.writeText(lines.value); } catch { // no permission, or not a secure context
      lines.select();
      done = document.execCommand("copy");
    }
    byId("copied").textContent = done ? "Copied." : "Copy the selected lines.";
  });
  byId("download").addEventListener("click", () => {
    make("a", { download: "marked.csv", href: `data:text/csv;charset=utf-8,${encodeURIComponent(byId("lines").value)}` }).click();
  });
  byId("forget").addEventListener("click", () => { marks.clear(); stored(STORE, "[]"); showMarks(); });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("input, select, textarea")) return;
    if (event.key === "/" && !dialog.open) { event.preventDefault(); search.focus(); }
    if (event.key === "r" && !dialog.open) {
      review.open = !review.open;
      if (review.open) review.querySelector("summary").focus();
    }
    const action = { x: "exclude", m: "move", u: "none" }[event.key];
    const photo = dialog.open ? current : review.open && photos[event.target.closest?.("[data-at]")?.dataset.at];
    if (action && photo) tell(mark(photo, action));
  });
  restoreMarks();
  showMarks();
  show();
  follow();
})();
