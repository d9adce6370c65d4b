/** Walks from noise to data: paths against t, and beside them where all walkers are now. */
import { Plot, largest, written } from "./plot.js";

/** What is drawn after each step: the first item has the data, later ones lengthen the paths. */
export function gather(state, item, first) {
  const walk = [...(first ? [] : state.walk), [item.t, item.paths]];
  return { ...(first ? {} : state), ...item, walk };
}

/** The picture of a walk so far. */
export function draw(state, width) {
  const { x, T, t, walk, histogram, density, data } = state;
  const height = Math.min(340, Math.max(240, width * 0.5));
  const range = [x[0], x.at(-1)];
  const side = Math.round(width * 0.3);
  const paths = new Plot(width - side, height, { range: [T, 0], title: "t" }, { range, title: "xₜ" });
  walk.at(-1)[1].forEach((_, i) => {
    paths.line(walk.map(([at]) => at), walk.map(([, xs]) => xs[i]), "demo-path");
  });
  paths.dots(walk.at(-1)[1].map(() => t), walk.at(-1)[1], "demo-sample");
  const most = largest(0.5, density ?? [], histogram.heights);
  const bin = histogram.edges[1] - histogram.edges[0];
  const now = new Plot(side, height, { range: [0, 1.08 * most] }, { range });
  now.bars(histogram, "demo-sample", { sideways: true });
  if (density) now.line(density, x, "demo-exact");
  else now.stems(data.points.map(([at, weight]) => [at, weight / bin]), "demo-exact", { sideways: true });
  const numbers = `At t = ${t} the walkers' standard deviation is ${written(state.deviation)}, that of q(xₜ) is `
    + `${written(state.exact_deviation)}.`;
  const pictures = document.createElement("div");
  pictures.className = "demo-side-by-side";
  pictures.append(
    paths.finished(`Paths of ${walk[0][1].length} walkers from t = ${T} to t = ${t}.`),
    now.finished(`Histogram of all walkers beside the exact density. ${numbers}`),
  );
  return { numbers, picture: pictures };
}
