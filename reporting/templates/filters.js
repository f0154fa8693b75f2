"use strict";
document.documentElement.classList.add("scripted");

/* Filters: an item shows when every choice of its section's bar matches one of its words. */
(() => {
  const FACETS = ["view", "split", "reason", "validity", "label", "patient"];
  const words = (item, facet) => (item.dataset[facet] || "").split("|").filter(Boolean);

  const fill = (form, items) => {
    for (const facet of FACETS) {
      const counts = new Map();
      for (const item of items)
        for (const word of words(item, facet)) counts.set(word, (counts.get(word) || 0) + 1);
      const select = form.querySelector(`select[data-facet=${facet}]`);
      for (const word of [...counts.keys()].sort()) select.append(new Option(word, word));
      select.parentElement.hidden = counts.size < 2 && facet !== "reason" || counts.size === 0;
    }
    const sure = form.querySelector("input[data-facet=confidence]");
    sure.parentElement.hidden = !items.some((item) => item.dataset.confidence);
  };

  const searched = (item) => {
    const group = item.closest(".group");
    const heading = group ? group.querySelector("h2, summary").textContent : "";
    return `${heading} ${item.textContent}`.toLowerCase();
  };

  const matches = (item, wanted) =>
    FACETS.every((facet) => !wanted[facet] || words(item, facet).includes(wanted[facet])) &&
    (!wanted.confidence || Number(item.dataset.confidence || 0) >= wanted.confidence) &&
    wanted.text.every((word) => searched(item).includes(word));

  const wantedBy = (form) => {
    const wanted = { text: [] };
    for (const field of form.querySelectorAll("[data-facet]")) wanted[field.dataset.facet] = field.value;
    wanted.text = wanted.text.toLowerCase().split(/\s+/).filter(Boolean);
    wanted.confidence = Number(wanted.confidence);
    return wanted;
  };

  const apply = (form, section, items) => {
    const wanted = wantedBy(form);
    const filtered = FACETS.some((facet) => wanted[facet]) || wanted.confidence > 0 || wanted.text.length > 0;
    let shown = 0;
    for (const item of items) {
      item.hidden = filtered && !matches(item, wanted);
      shown += item.hidden ? 0 : 1;
    }
    for (const group of section.querySelectorAll(".group, .table")) {
      const own = [...group.querySelectorAll(".item")];
      group.classList.toggle("empty", own.length > 0 && own.every((item) => item.hidden));
      if (filtered && own.length && group.matches("details.table")) group.open = true;
    }
    form.querySelector(".count").textContent =
      filtered ? `${shown} of ${items.length} rows and pictures` : "";
    form.classList.toggle("active", filtered);
    form.querySelector("input[type=range] + output").textContent = wanted.confidence.toFixed(2);
  };

  for (const form of document.querySelectorAll("form.filter")) {
    const section = form.closest(".source");
    const items = [...section.querySelectorAll(".item")];
    fill(form, items);
    const update = () => apply(form, section, items);
    form.addEventListener("input", update);
    form.addEventListener("reset", () => setTimeout(update));
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  /* A patient's key filters every part that knows the patient. */
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-patient-key]");
    if (!button) return;
    event.preventDefault();
    const key = button.dataset.patientKey;
    for (const select of document.querySelectorAll("select[data-facet=patient]")) {
      if (![...select.options].some((option) => option.value === key)) continue;
      select.value = select.value === key ? "" : key;
      select.dispatchEvent(new Event("input", { bubbles: true }));
    }
  });

  /* Which labels are drawn over the pictures. */
  for (const box of document.querySelectorAll("[data-layer]"))
    box.addEventListener("change", () =>
      document.documentElement.classList.toggle(`no-${box.dataset.layer}`, !box.checked));
})();
