//! The chart: a bar a row, tidelog against its baseline on a logarithmic scale, aims as marks.

use super::row::{Aim, Row};
use super::table::number;
use std::fmt::Write as _;

const LEFT: f64 = 430.0;
const WIDTH: f64 = 560.0;
const RIGHT: f64 = 90.0;
const TOP: f64 = 92.0;
const STEP: f64 = 24.0;
/// The scale goes from a hundredth to a thousand times the baseline.
const FROM: f64 = 0.01;
const TO: f64 = 1000.0;

const MET: &str = "#2a7f62";
const MISSED: &str = "#c0562f";
const WITHOUT_AIM: &str = "#5b7fa6";

/// An SVG of the rows that have a baseline.
pub(crate) fn render(rows: &[Row], head: &str) -> String {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.against.is_some()).collect();
    let bottom = TOP + STEP * rows.len() as f64;
    let (width, height) = (LEFT + WIDTH + RIGHT, bottom + 40.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\" fill=\"#222\">\n\
         <title>tidelog beside its peers</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"16\" y=\"26\" font-size=\"17\" font-weight=\"600\">tidelog beside its peers</text>\n\
         <text x=\"16\" y=\"45\" fill=\"#555\">{}</text>\n",
        escaped(head)
    );
    legend(&mut svg);
    grid(&mut svg, bottom);
    for (index, row) in rows.iter().enumerate() {
        bar(&mut svg, row, TOP + STEP * index as f64);
    }
    svg.push_str("</svg>\n");
    svg
}

/// Where a ratio stands.
fn place(ratio: f64) -> f64 {
    let part = (ratio.clamp(FROM, TO) / FROM).log10() / (TO / FROM).log10();
    LEFT + part * WIDTH
}

fn legend(svg: &mut String) {
    let mut x = 16.0;
    for (colour, text) in [
        (MET, "aim met"),
        (MISSED, "aim missed"),
        (WITHOUT_AIM, "no aim"),
    ] {
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"58\" width=\"12\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{}\" y=\"68\">{text}</text>",
            x + 17.0
        );
        x += 100.0;
    }
    let _ = writeln!(
        svg,
        "<path d=\"M {x} 57 v 14\" stroke=\"#111\" stroke-width=\"2\"/>\
         <text x=\"{}\" y=\"68\">aim; ▸ at least, ◂ at most</text>",
        x + 8.0
    );
}

fn grid(svg: &mut String, bottom: f64) {
    for ratio in [0.01, 0.1, 1.0, 10.0, 100.0, 1000.0] {
        let (x, end) = (place(ratio), bottom + 4.0);
        let colour = if ratio == 1.0 { "#777" } else { "#ddd" };
        let _ = writeln!(
            svg,
            "<path d=\"M {x:.1} {TOP} V {end:.1}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">{ratio}×</text>",
            bottom + 20.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#555\">ratio to the baseline</text>",
        place(1.0),
        bottom + 36.0
    );
}

fn bar(svg: &mut String, row: &Row, top: f64) {
    let Some(against) = &row.against else { return };
    let colour = match (against.aim, row.missed) {
        (None, _) => WITHOUT_AIM,
        (Some(_), false) => MET,
        (Some(_), true) => MISSED,
    };
    let (one, end) = (place(1.0), place(against.ratio));
    let (x, width) = (one.min(end), (one - end).abs().max(1.0));
    let label = match row.workload.as_str() {
        "" => format!("{} · {}", row.flavor, row.work),
        workload => format!("{} · {workload} · {}", row.flavor, row.work),
    };
    let _ = writeln!(
        svg,
        "<g><title>{}</title><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
         <rect x=\"{x:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"14\" rx=\"2\" fill=\"{colour}\"/>",
        escaped(&format!(
            "{label}: {} × {}",
            number(against.ratio),
            against.baseline
        )),
        LEFT - 10.0,
        top + 12.0,
        escaped(&shortened(&label)),
        top + 1.0,
    );
    let mut after = end.max(one);
    if let Some(aim) = against.aim {
        let at = place(aim.value());
        let side = match aim {
            Aim::AtLeast(_) => 6.0,
            Aim::AtMost(_) => -6.0,
        };
        let _ = write!(
            svg,
            "<path d=\"M {at:.1} {:.1} v 18\" stroke=\"#111\" stroke-width=\"2\"/>\
             <path d=\"M {at:.1} {:.1} l {side} 4 l {} 4 z\" fill=\"#111\"/>",
            top - 1.0,
            top + 4.0,
            -side
        );
        after = after.max(at + 6.0);
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#333\">{}</text></g>",
        after + 6.0,
        top + 12.0,
        number(against.ratio)
    );
}

/// What fits beside the bars.
fn shortened(label: &str) -> String {
    const MAX: usize = 66;
    if label.chars().count() <= MAX {
        return label.to_owned();
    }
    let head: String = label.chars().take(MAX - 1).collect();
    format!("{head}…")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
