//! A graph as a picture: layers from left to right (Sugiyama's method), light or dark as the reader likes.
//!
//! Each node stands one layer right of the last that points to it. An edge over several layers gets a waypoint in each,
//! so that it passes between boxes. Waypoints and boxes of a layer are ordered by the mean place of their neighbours, a
//! few sweeps to and fro. Nodes without an edge form a block below.

use std::fmt::Write as _;

use crate::base::shown::escaped;
use crate::ops::graph::{Graph, Kind};

const ROW: f64 = 54.0;
const WAYPOINT: f64 = 16.0;
const BOX: f64 = 40.0;
const GAP: f64 = 64.0;
const MARGIN: f64 = 16.0;
/// Labels longer than this are cut; the whole text is in the title.
const LONGEST: usize = 34;
const SWEEPS: usize = 6;
/// With more waypoints than this, edges go straight: a picture of that size is for searching, not for looking.
const WAYPOINTS: usize = 20_000;

/// Draws the graph.
pub fn draw(graph: &Graph) -> String {
    let mut layout = Layout::of(graph);
    for sweep in 0..SWEEPS {
        layout.sweep(sweep % 2 == 0);
    }
    layout.picture(graph)
}

/// A box or a waypoint.
struct Spot {
    /// The node; `None` for a waypoint.
    node: Option<usize>,
    y: f64,
    before: Vec<usize>,
    after: Vec<usize>,
}

struct Layout {
    spots: Vec<Spot>,
    /// Spots of each layer, from top to bottom.
    layers: Vec<Vec<usize>>,
    /// For each edge, the spots that it passes.
    ways: Vec<Vec<usize>>,
    alone: Vec<usize>,
}

impl Layout {
    fn of(graph: &Graph) -> Self {
        let count = graph.nodes.len();
        let layer = layers(graph);
        let mut linked = vec![false; count];
        for (from, to) in graph.edges.iter().filter(|(from, to)| from != to) {
            (linked[*from], linked[*to]) = (true, true);
        }
        let spot = |node| Spot { node, y: 0.0, before: Vec::new(), after: Vec::new() };
        let mut spots: Vec<Spot> = (0..count).map(|node| spot(Some(node))).collect();
        let depth = (0..count).filter(|n| linked[*n]).map(|n| layer[n] + 1).max().unwrap_or(0);
        let mut rows: Vec<Vec<usize>> = vec![Vec::new(); depth];
        for node in (0..count).filter(|n| linked[*n]) {
            rows[layer[node]].push(node);
        }
        let span = |(from, to): &(usize, usize)| layer[*to].saturating_sub(layer[*from]).saturating_sub(1);
        let few = graph.edges.iter().map(span).sum::<usize>() <= WAYPOINTS;
        let mut ways = Vec::with_capacity(graph.edges.len());
        for (from, to) in &graph.edges {
            let mut way = vec![*from];
            for row in rows.iter_mut().take(layer[*to]).skip(layer[*from] + 1).filter(|_| few) {
                row.push(spots.len());
                way.push(spots.len());
                spots.push(spot(None));
            }
            way.push(*to);
            for pair in way.windows(2).filter(|pair| pair[0] != pair[1]) {
                spots[pair[0]].after.push(pair[1]);
                spots[pair[1]].before.push(pair[0]);
            }
            ways.push(way);
        }
        let mut layout = Self { spots, layers: rows, ways, alone: (0..count).filter(|node| !linked[*node]).collect() };
        for at in 0..layout.layers.len() {
            layout.stack(at, &|_| None);
        }
        layout
    }

    /// Moves the spots of each layer to the mean of their neighbours on one side, as far as there is room.
    fn sweep(&mut self, forward: bool) {
        let count = self.layers.len();
        for step in 0..count {
            let at = if forward { step } else { count - 1 - step };
            let wish = |layout: &Self, spot: usize| {
                let Spot { before, after, .. } = &layout.spots[spot];
                let near = if forward { before } else { after };
                let sum: f64 = near.iter().map(|n| layout.spots[*n].y).sum();
                (!near.is_empty()).then(|| sum / near.len() as f64)
            };
            let wishes: Vec<Option<f64>> = self.layers[at].iter().map(|spot| wish(self, *spot)).collect();
            let mut order: Vec<(f64, usize)> = self.layers[at]
                .iter()
                .zip(&wishes)
                .map(|(spot, wish)| (wish.unwrap_or(self.spots[*spot].y), *spot))
                .collect();
            order.sort_by(|a, b| a.0.total_cmp(&b.0));
            self.layers[at] = order.iter().map(|(_, spot)| *spot).collect();
            let wanted: std::collections::BTreeMap<usize, f64> = order.iter().map(|(y, spot)| (*spot, *y)).collect();
            self.stack(at, &|spot| wanted.get(&spot).copied());
        }
    }

    /// Puts the spots of a layer below each other in their order, near to where they would like to be.
    fn stack(&mut self, at: usize, wish: &dyn Fn(usize) -> Option<f64>) {
        let height = |spot: &Spot| if spot.node.is_some() { ROW } else { WAYPOINT };
        let (mut top, mut off) = (f64::MIN, 0.0);
        let order = self.layers[at].clone();
        for spot in &order {
            let half = height(&self.spots[*spot]) / 2.0;
            let wanted = wish(*spot).unwrap_or(if top == f64::MIN { 0.0 } else { top + half });
            let y = wanted.max(top + half);
            off += y - wanted;
            self.spots[*spot].y = y;
            top = y + half;
        }
        let shift = off / order.len().max(1) as f64;
        for spot in order {
            self.spots[spot].y -= shift;
        }
    }

    fn picture(&self, graph: &Graph) -> String {
        let labels: Vec<String> = graph.nodes.iter().map(|node| cut(&node.name)).collect();
        let width = |node: usize| {
            let longest = labels[node].chars().count().max(cut(&graph.nodes[node].detail).chars().count());
            // Digits and letters of the font at 13 px are at most this wide.
            (longest as f64).mul_add(7.6, 24.0).max(72.0)
        };
        let mut left = Vec::with_capacity(self.layers.len());
        let mut x = MARGIN;
        let mut widths = Vec::with_capacity(self.layers.len());
        for layer in &self.layers {
            let widest = layer.iter().filter_map(|spot| self.spots[*spot].node).map(width).fold(0.0, f64::max);
            left.push(x);
            widths.push(widest);
            x += widest + GAP;
        }
        let placed = self.layers.iter().flatten();
        let least = placed.clone().map(|spot| self.spots[*spot].y).fold(f64::MAX, f64::min);
        let most = placed.map(|spot| self.spots[*spot].y).fold(f64::MIN, f64::max);
        let lift = if self.layers.is_empty() { 0.0 } else { MARGIN + ROW / 2.0 - least };
        let bottom = if self.layers.is_empty() { MARGIN } else { most + lift + ROW };
        // Left end, right end and middle of each spot.
        let mut places = vec![(0.0, 0.0, 0.0); self.spots.len()];
        for (at, layer) in self.layers.iter().enumerate() {
            for spot in layer {
                let wide = self.spots[*spot].node.map_or(widths[at], width);
                let start = left[at] + (widths[at] - wide) / 2.0;
                places[*spot] = (start, start + wide, self.spots[*spot].y + lift);
            }
        }
        let widest = self.alone.iter().map(|node| width(*node)).fold(0.0, f64::max) + 16.0;
        let across =
            (self.alone.len() as f64).sqrt().ceil().min(12.0).max((x / widest.max(1.0)).floor()).max(1.0) as usize;
        for (at, node) in self.alone.iter().enumerate() {
            let start = (at % across) as f64 * widest + MARGIN;
            places[*node] = (start, start + width(*node), bottom + (at / across) as f64 * ROW + ROW / 2.0);
        }
        let total_w = places.iter().map(|p| p.1).fold(120.0, f64::max) + MARGIN;
        let total_h = places.iter().map(|p| p.2 + ROW / 2.0).fold(40.0, f64::max) + MARGIN;
        let mut svg = String::new();
        let _ = writeln!(
            svg,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {total_w:.0} {total_h:.0}\" width=\"{total_w:.0}\" height=\"{total_h:.0}\" role=\"img\">"
        );
        svg.push_str(STYLE);
        for way in &self.ways {
            let _ = writeln!(svg, "<path class=\"e\" d=\"{}\"/>", line(way, &places));
        }
        for (node, label) in labels.iter().enumerate() {
            let (start, end, y) = places[node];
            let kind = match graph.nodes[node].kind {
                Kind::Expert => "x",
                Kind::External => "o",
                Kind::Task => "t",
            };
            let whole = format!("{} {}", graph.nodes[node].name, graph.nodes[node].detail);
            let _ = writeln!(
                svg,
                "<g class=\"{kind}\"><title>{}</title><rect x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{BOX}\" rx=\"7\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text><text class=\"d\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g>",
                escaped(&whole),
                y - BOX / 2.0,
                end - start,
                f64::midpoint(start, end),
                y - 2.0,
                escaped(label),
                f64::midpoint(start, end),
                y + 13.0,
                escaped(&cut(&graph.nodes[node].detail)),
            );
        }
        svg + "</svg>\n"
    }
}

/// A smooth line through its spots.
fn line(way: &[usize], places: &[(f64, f64, f64)]) -> String {
    let mut d = String::new();
    let (_, mut x, mut y) = places[way[0]];
    let _ = write!(d, "M{x:.1} {y:.1}");
    for (at, spot) in way.iter().enumerate().skip(1) {
        let (start, end, to) = places[*spot];
        let last = at + 1 == way.len();
        // The arrow's head takes the last pixels.
        let stop = if last { start - 7.0 } else { start };
        let bend = ((stop - x).abs() / 2.0).max(24.0);
        let _ = write!(d, " C{:.1} {y:.1} {:.1} {to:.1} {stop:.1} {to:.1}", x + bend, stop - bend);
        if !last {
            let _ = write!(d, " H{end:.1}");
        }
        (x, y) = (end, to);
    }
    d
}

/// The layer of each node: one more than the highest of those that point to it. Arrows that close a circle do not count.
fn layers(graph: &Graph) -> Vec<usize> {
    let next = graph.next();
    let count = graph.nodes.len();
    let mut waits = vec![0_usize; count];
    for (from, to) in graph.edges.iter().filter(|(from, to)| from != to) {
        let _ = from;
        waits[*to] += 1;
    }
    let mut layer = vec![0; count];
    let mut done = vec![false; count];
    let mut ready: Vec<usize> = (0..count).filter(|node| waits[*node] == 0).collect();
    let mut rest = 0;
    loop {
        while let Some(node) = ready.pop() {
            done[node] = true;
            for to in next[node].iter().filter(|to| **to != node && !done[**to]) {
                layer[*to] = layer[*to].max(layer[node] + 1);
                waits[*to] -= 1;
                if waits[*to] == 0 {
                    ready.push(*to);
                }
            }
        }
        // What is left are circles: the first of their nodes goes as if nothing pointed to it.
        while rest < count && done[rest] {
            rest += 1;
        }
        if rest == count {
            return layer;
        }
        waits[rest] = 0;
        ready.push(rest);
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= LONGEST {
        return text.to_owned();
    }
    text.chars().take(LONGEST - 1).chain(['…']).collect()
}

const STYLE: &str = "<style>
svg { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #8c959f; --face: #ffffff; --edge: #0969da }
@media (prefers-color-scheme: dark) { svg { --ink: #f0f6fc; --soft: #9198a1; --line: #656c76; --face: #151b23; --edge: #4493f8 } }
rect { fill: var(--face); stroke: var(--line); stroke-width: 1.2 }
.x rect { stroke: var(--edge) }
.o rect { stroke-dasharray: 5 4 }
text { font: 13px ui-sans-serif, system-ui, sans-serif; fill: var(--ink); text-anchor: middle }
.d { font-size: 11px; fill: var(--soft) }
.e { fill: none; stroke: var(--line); stroke-width: 1.3; marker-end: url(#a) }
#a path { fill: var(--line) }
</style>
<defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"1\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\"><path d=\"M0 0 L8 4 L0 8 z\"/></marker></defs>
";

#[cfg(test)]
mod tests {
    use super::{Layout, SWEEPS, draw, layers};
    use crate::ops::graph::tests::graph;

    #[test]
    fn layers_follow_the_longest_way_and_circles_end() {
        let diamond = graph(&["a", "b", "c", "d", "alone"], &[(0, 1), (0, 3), (1, 2), (2, 3)]);
        assert_eq!(layers(&diamond), [0, 1, 2, 3, 0]);
        let circle = graph(&["a", "b", "c"], &[(0, 1), (1, 2), (2, 0), (1, 1)]);
        assert_eq!(layers(&circle), [0, 1, 2]);
    }

    #[test]
    fn boxes_of_a_layer_do_not_overlap_and_all_are_drawn() {
        let names: Vec<String> = (0..40).map(|n| format!("expert <{n}>")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let edges: Vec<(usize, usize)> =
            (0..40).flat_map(|n| [(n, n * 7 % 40), (n, (n + 11) % 40)]).filter(|(a, b)| a < b).collect();
        let graph = graph(&names, &edges);
        let mut layout = Layout::of(&graph);
        (0..SWEEPS).for_each(|sweep| layout.sweep(sweep % 2 == 0));
        for layer in &layout.layers {
            for pair in layer.windows(2) {
                let height = |spot: usize| if layout.spots[spot].node.is_some() { super::ROW } else { super::WAYPOINT };
                let apart = layout.spots[pair[1]].y - layout.spots[pair[0]].y;
                assert!(apart + 1e-6 >= (height(pair[0]) + height(pair[1])) / 2.0, "{apart}");
            }
        }
        let svg = draw(&graph);
        assert_eq!(svg.matches("<rect").count(), 40);
        assert_eq!(svg.matches("class=\"e\"").count(), edges.len());
        assert!(svg.contains("expert &lt;3&gt;") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(draw(&crate::ops::graph::Graph::default()).contains("viewBox"));
    }
}
