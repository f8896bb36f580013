//! The plot: for each kernel, what loading it costs in each way.

use std::fmt::Write;

use crate::loading::Row;

const LEFT: f64 = 330.0;
const WIDTH: f64 = 560.0;
const BAR: f64 = 16.0;
const LINE: f64 = 22.0;

/// stage0's phases, as they are coloured; what is left of the sum is the last.
const PARTS: [(&str, &str); 3] = [("verify", "#1565c0"), ("decode", "#2e7d32"), ("all else", "#90a4ae")];
const OTHERS: &str = "#f9a825";

/// Draws it in SVG.
pub(crate) fn draw(rows: &[Row]) -> String {
    let most = rows.iter().map(|row| row.loading).max().unwrap_or(1).max(1) as f64;
    let mut body = String::new();
    let mut y = 44.0;
    let mut x = LEFT;
    for (name, color) in PARTS.into_iter().chain([("others", OTHERS)]) {
        rect(&mut body, (x, 30.0), 10.0, color);
        text(&mut body, (x + 16.0, 42.0), name);
        x += 110.0;
    }
    let mut last = "";
    for row in rows {
        y += if row.kernel == last { LINE } else { LINE + 12.0 };
        if row.kernel != last {
            text(&mut body, (16.0, y), &row.kernel);
            y += LINE;
        }
        last = &row.kernel;
        text(&mut body, (32.0, y), &row.loader);
        let mut x = LEFT;
        for (count, color) in parts(row) {
            let width = count as f64 * WIDTH / most;
            rect(&mut body, (x, y - 12.0), width, color);
            x += width;
        }
        text(&mut body, (x + 6.0, y), &format!("{:.0}", row.loading as f64 / 1e6));
    }
    let (width, height) = (LEFT + WIDTH + 80.0, y + LINE);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"13\" fill=\"#222222\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"16\" y=\"20\" font-weight=\"bold\">Millions of instructions from the loader's first to the kernel's</text>\n\
         {body}</svg>\n"
    )
}

fn parts(row: &Row) -> Vec<(u64, &'static str)> {
    if !row.is_stage0() {
        return vec![(row.loading, OTHERS)];
    }
    let [verify, decode, rest] = PARTS;
    let counts = [verify, decode].map(|(name, color)| (row.phase(name).unwrap_or(0), color));
    let sum = counts[0].0 + counts[1].0;
    counts.into_iter().chain([(row.loading.saturating_sub(sum), rest.1)]).collect()
}

fn rect(body: &mut String, (x, y): (f64, f64), width: f64, color: &str) {
    // A String takes whatever is written to it.
    let _infallible =
        writeln!(body, "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"{color}\"/>");
}

fn text(body: &mut String, (x, y): (f64, f64), words: &str) {
    let _infallible = writeln!(body, "<text x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}
