
/* A thumbnail opens large; arrow keys go to its neighbours, Escape closes. */
(() => {
  const dialog = document.getElementById("large");
  const stage = dialog.querySelector(".stage");
  let current = null;

  const isShown = (button) => button.getClientRects().length > 0;

  const legendOf = (svg) => {
    const entries = new Map();
    for (const mark of svg.querySelectorAll("line, rect"))
      entries.set(mark.querySelector("title").textContent, mark.getAttribute("stroke"));
    return entries;
  };

  const show = (button) => {
    current = button;
    const svg = button.querySelector("svg").cloneNode(true);
    const [width, height] = svg.style.aspectRatio.split("/").map(Number);
    svg.style.width = `min(92vw, calc(82vh * ${width / height}))`;
    stage.replaceChildren(svg);
    const caption = button.parentElement.querySelector("figcaption");
    const group = button.closest(".group");
    dialog.querySelector("p b").textContent = caption.querySelector("b").textContent;
    dialog.querySelector("p span").textContent = [
      caption.querySelector("span") ? caption.querySelector("span").textContent : "",
      group ? group.querySelector("h2, summary b").firstChild.textContent.trim() : "",
    ].filter(Boolean).join("; ");
    dialog.querySelector(".legend").replaceChildren(...[...legendOf(svg)].map(([name, colour]) => {
      const entry = document.createElement("li");
      entry.style.setProperty("--tone", colour);
      entry.append(document.createElement("i"), name);
      return entry;
    }));
    if (!dialog.open) dialog.showModal();
  };

  const step = (by) => {
    const shown = [...document.querySelectorAll("button.open")].filter(isShown);
    const next = shown[shown.indexOf(current) + by];
    if (next) show(next);
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) show(button);
  });
  dialog.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button && button.dataset.step) step(Number(button.dataset.step));
    else if (button || event.target === dialog || event.target.closest(".stage")) dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") step(-1);
    if (event.key === "ArrowRight") step(1);
  });
  dialog.addEventListener("close", () => {
    stage.replaceChildren();
    if (current) current.focus();
  });
})();
