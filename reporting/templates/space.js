
/* The planes of an exam, turned by mouse, touch or arrow keys; equations as in space.py. */
(() => {
  const RADIANS = Math.PI / 180;
  const numbers = (text) => text.trim().split(/\s+/).map(Number);
  const spelled = (value) => value.toFixed(2);

  const project = (x, y, z, turn, eye) => {
    const across = x * Math.cos(turn) + y * Math.sin(turn);
    const back = -x * Math.sin(turn) + y * Math.cos(turn);
    const up = z * Math.cos(eye) + back * Math.sin(eye);
    return [across, -up, z * Math.sin(eye) - back * Math.cos(eye)];
  };

  for (const figure of document.querySelectorAll("figure.space")) {
    const scene = figure.querySelector(".scene");
    const hover = figure.querySelector(".hover");
    const resting = hover.textContent;
    const sheets = [...figure.querySelectorAll(".sheet")]
      .map((polygon) => ({ polygon, corners: numbers(polygon.dataset.corners) }));
    const painted = figure.querySelector(".patches");
    const tree = JSON.parse(painted.dataset.tree || "null");
    const patches = [...painted.children].sort((one, other) => one.dataset.number - other.dataset.number);
    const lines = [...figure.querySelectorAll(".crossings line")]
      .map((line) => ({ line, ends: numbers(line.dataset.ends) }));
    const axes = [...figure.querySelectorAll(".axes g")]
      .map((group) => ({ group, direction: numbers(group.dataset.direction) }));
    const look = { turn: Number(figure.dataset.turn), eye: Number(figure.dataset.elevation) };

    const at = (values, place) =>
      project(values[3 * place], values[3 * place + 1], values[3 * place + 2], look.turn * RADIANS, look.eye * RADIANS);

    const drawSheet = ({ polygon, corners }) => {
      const [a, b, c, d] = [0, 1, 2, 3].map((place) => at(corners, place));
      polygon.setAttribute("points", [a, b, c, d].map((one) => `${spelled(one[0])} ${spelled(one[1])}`).join(" "));
      if (!polygon.classList.contains("central")) return;
      const matrix = [b[0] - a[0], b[1] - a[1], d[0] - a[0], d[1] - a[1], a[0], a[1]].map(spelled).join(" ");
      for (const patch of patches)
        if (patch.dataset.stack === polygon.dataset.stack) patch.setAttribute("transform", `matrix(${matrix})`);
    };

    /* Far pieces first: of every plane the side that the eye is not on, the plane, the other side. */
    const paint = (node, eye) => {
      if (!node) return [];
      const [normal, numbers, front, back] = node;
      const faces = normal[0] * eye[0] + normal[1] * eye[1] + normal[2] * eye[2] > 0;
      return [...paint(faces ? back : front, eye), ...numbers, ...paint(faces ? front : back, eye)];
    };

    const drawLine = ({ line, ends }) => {
      const [from, to] = [at(ends, 0), at(ends, 1)];
      line.setAttribute("x1", spelled(from[0]));
      line.setAttribute("y1", spelled(from[1]));
      line.setAttribute("x2", spelled(to[0]));
      line.setAttribute("y2", spelled(to[1]));
    };

    const drawAxis = ({ group, direction }) => {
      const [x, y] = at(direction, 0).map((value) => value * 16);
      group.querySelector("line").setAttribute("x2", spelled(x));
      group.querySelector("line").setAttribute("y2", spelled(y));
      group.querySelector("text").setAttribute("x", spelled(x * 1.4));
      group.querySelector("text").setAttribute("y", spelled(y * 1.4));
    };

    const draw = () => {
      sheets.forEach(drawSheet);
      const [turn, eye] = [look.turn * RADIANS, look.eye * RADIANS];
      const towards = [Math.sin(turn) * Math.cos(eye), -Math.cos(turn) * Math.cos(eye), Math.sin(eye)];
      painted.append(...paint(tree, towards).map((number) => patches[number]));
      lines.forEach(drawLine);
      axes.forEach(drawAxis);
    };

    const turnBy = (turn, eye) => {
      look.turn += turn;
      look.eye = Math.max(-90, Math.min(90, look.eye + eye));
      draw();
    };

    /* Point out a stack wherever it stands: in space, in the legend, in the table. */
    const pointOut = (stack, told) => {
      hover.textContent = told || resting;
      const around = figure.closest(".group") || figure;
      for (const one of around.querySelectorAll("[data-stack]"))
        one.classList.toggle("pointed", stack !== null && one.dataset.stack === stack);
    };

    let held = null;
    scene.addEventListener("pointerdown", (event) => {
      held = { x: event.clientX, y: event.clientY };
      scene.setPointerCapture(event.pointerId);
    });
    scene.addEventListener("pointermove", (event) => {
      if (!held) return;
      turnBy(0.5 * (held.x - event.clientX), 0.5 * (event.clientY - held.y));
      held = { x: event.clientX, y: event.clientY };
    });
    for (const end of ["pointerup", "pointercancel"]) scene.addEventListener(end, () => { held = null; });
    scene.addEventListener("pointerover", (event) => {
      const mark = event.target.closest("[data-told]");
      if (!held) pointOut(mark && mark.dataset.stack ? mark.dataset.stack : null, mark && mark.dataset.told);
    });
    scene.addEventListener("pointerleave", () => pointOut(null, ""));
    scene.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [5, 0], ArrowRight: [-5, 0], ArrowUp: [0, 5], ArrowDown: [0, -5] }[event.key];
      if (!by) return;
      event.preventDefault();
      turnBy(...by);
    });

    for (const button of figure.querySelectorAll("[data-look]"))
      button.addEventListener("click", () => {
        [look.turn, look.eye] = numbers(button.dataset.look);
        draw();
      });
    const images = figure.querySelector("[data-images]");
    if (images) images.addEventListener("change", () => figure.classList.toggle("no-images", !images.checked));

    const toggles = figure.querySelectorAll(".stacks-of button");
    const isOn = (stack) =>
      [...toggles].some((one) => one.dataset.stack === stack && one.getAttribute("aria-pressed") === "true");
    for (const button of toggles) {
      const stack = button.dataset.stack;
      button.addEventListener("click", () => {
        button.setAttribute("aria-pressed", String(button.getAttribute("aria-pressed") !== "true"));
        for (const one of [...patches, ...sheets.map(({ polygon }) => polygon)])
          one.classList.toggle("off", !isOn(one.dataset.stack));
        for (const { line } of lines)
          line.classList.toggle("off", !line.dataset.stacks.split(" ").every(isOn));
      });
      for (const kind of ["pointerenter", "focus"])
        button.addEventListener(kind, () => pointOut(stack, button.title));
      for (const kind of ["pointerleave", "blur"])
        button.addEventListener(kind, () => pointOut(null, ""));
    }
    for (const row of (figure.closest(".group") || figure).querySelectorAll("tr[data-stack]")) {
      row.addEventListener("pointerenter", () => pointOut(row.dataset.stack, ""));
      row.addEventListener("pointerleave", () => pointOut(null, ""));
    }
  }
})();
