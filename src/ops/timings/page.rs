//! The page: one HTML file with its style, its script and its data, that loads nothing from anywhere.
//!
//! Names of experts, files and reasons are foreign text. In the document they are escaped; for the script they stand in
//! a block of JSON without any `<`, and it gives them to the page as text alone. The page's own policy lets nothing be
//! loaded, so that even a fault in that could not call anyone.

use crate::base::event::Status;
use crate::base::shown::size as bytes;
use crate::ops::timings::Timings;

/// Rows of the tables that are there without a script.
const ROWS: usize = 200;

/// The page of a run.
pub fn page(timings: &Timings) -> String {
    let data = serde_json::to_string(timings).expect("timings are plain data");
    // Inside a script block nothing but `<` can end it, and JSON has `<` in strings alone.
    let data = data.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    let [built, restored, fresh, failed, _] = timings.packages_by_end;
    let title =
        format!("{built} built, {restored} restored, {fresh} up to date, {failed} failed in {}", time(timings.took));
    let parts = [
        ("title", escape(&title)),
        ("version", escape(&timings.version)),
        ("style", include_str!("page.css").to_owned()),
        ("cards", cards(timings)),
        ("critical", critical(timings)),
        ("experts", experts(timings)),
        ("packages", packages(timings)),
        ("requires", requires(timings)),
        ("data", data),
        ("script", include_str!("page.js").to_owned()),
    ];
    fill(include_str!("page.html"), &parts)
}

/// Puts each part in its places. What a part itself holds is never looked at again.
fn fill(template: &str, parts: &[(&str, String)]) -> String {
    let mut pieces = template.split("{{");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (name, after) = piece.split_once("}}").expect("the template is ours");
        let (_, part) = parts.iter().find(|(known, _)| *known == name).expect("the template is ours");
        text.push_str(part);
        text.push_str(after);
    }
    text
}

fn cards(timings: &Timings) -> String {
    let [built, restored, fresh, failed, skipped] = timings.packages_by_end;
    let [hits, misses] = timings.cache;
    let work: u64 = timings.work.iter().map(|w| w.took).sum();
    let path: u64 = timings.critical.iter().map(|at| timings.tasks[*at].end - timings.tasks[*at].start).sum();
    let read: u64 = timings.tasks.iter().map(|ran| ran.read).sum();
    let size: u64 = timings.packages.iter().map(|p| p.bytes).sum();
    let room = timings.took.saturating_mul(timings.jobs as u64);
    let mut all = vec![
        (time(timings.took), "in all".to_owned()),
        (built.to_string(), format!("built, {restored} restored")),
        (fresh.to_string(), "up to date".into()),
        (timings.tasks.len().to_string(), format!("tasks on {} threads", timings.jobs)),
        (time(path), "on the critical path".into()),
        (percent(work, room), "of the threads' time was work".into()),
        (percent(hits, hits + misses), format!("of {} results from the cache", hits + misses)),
        (bytes(read), "read".into()),
        (bytes(size), format!("of packages written ({})", timings.packages.len())),
    ];
    if failed + skipped > 0 {
        all.insert(1, (failed.to_string(), format!("failed, {skipped} not tried")));
    }
    all.iter()
        .map(|(number, text)| format!("<li><b>{}</b><span>{}</span></li>", escape(number), escape(text)))
        .collect()
}

fn critical(timings: &Timings) -> String {
    let longest =
        timings.critical.iter().map(|at| timings.tasks[*at].end - timings.tasks[*at].start).max().unwrap_or(1);
    let mut ended = 0;
    let rows = timings.critical.iter().map(|at| {
        let ran = &timings.tasks[*at];
        let (took, waited) = (ran.end - ran.start, ran.start.saturating_sub(ended));
        ended = ran.end;
        format!(
            "<tr><td><span class=\"k {kind}\"></span>{}</td><td>{kind}</td><td>{}</td><td class=n>{}</td><td class=n>{}</td>{}</tr>",
            escape(&timings.experts[ran.expert]),
            escape(&ran.subject),
            time(waited),
            time(took),
            bar(took, longest, ran.task),
            kind = ran.task,
        )
    });
    table(&["Expert", "Task", "About", "#Waited", "#Took", ""], rows, timings.critical.len(), "no task ran")
}

fn experts(timings: &Timings) -> String {
    let longest = timings.work.first().map_or(1, |w| w.took);
    let rows = timings.work.iter().map(|work| {
        format!(
            "<tr><td>{}</td><td class=n>{}</td><td class=n>{}</td><td class=n>{} of {}</td><td class=n>{}</td>{}</tr>",
            escape(&timings.experts[work.expert]),
            time(work.took),
            time(work.end - work.start),
            work.cached,
            work.tasks,
            bytes(work.read),
            bar(work.took, longest, "hash"),
        )
    });
    let heads = ["Expert", "#Work", "#From first to last", "#Tasks answered by the cache", "#Read", ""];
    table(&heads, rows, timings.work.len(), "no expert was worked on")
}

fn packages(timings: &Timings) -> String {
    let largest = timings.packages.first().map_or(1, |p| p.bytes);
    let rows = timings.packages.iter().map(|package| {
        let growth = match package.before {
            None => "<td class=n></td>".to_owned(),
            Some(before) if before == package.bytes => "<td class=\"n dim\">same</td>".to_owned(),
            Some(before) => {
                let (class, sign) = if package.bytes > before { ("up", '+') } else { ("down", '−') };
                let by = package.bytes.abs_diff(before);
                format!("<td class=\"n {class}\">{sign}{} ({sign}{})</td>", bytes(by), percent(by, before))
            }
        };
        let status = match package.status {
            Status::Cached => "restored",
            Status::Unchanged => "unchanged",
            Status::Remote => "left on the remote",
            _ => "built",
        };
        format!(
            "<tr><td>{}</td><td>{status}</td><td class=n>{}</td>{growth}<td class=n>{}</td><td class=n>{} of {}</td>{}</tr>",
            escape(&package.path),
            bytes(package.bytes),
            package.files,
            package.reused,
            package.made + package.reused,
            bar(package.bytes, largest, "archive"),
        )
    });
    let heads = ["Package", "How", "#Size", "#Against the lock", "#Files", "#Segments reused", ""];
    table(&heads, rows, timings.packages.len(), "no package was put in place")
}

fn requires(timings: &Timings) -> String {
    let rows = timings.requires.iter().map(|(a, b)| format!("<tr><td>{}</td><td>{}</td></tr>", escape(a), escape(b)));
    table(&["Expert", "requires"], rows, timings.requires.len(), "no expert requires another")
}

/// A table; heads that begin with `#` stand above numbers.
fn table(heads: &[&str], rows: impl Iterator<Item = String>, count: usize, none: &str) -> String {
    if count == 0 {
        return format!("<p class=dim>{}</p>", escape(none));
    }
    let heads: String = heads
        .iter()
        .map(|head| match head.strip_prefix('#') {
            Some(head) => format!("<th class=n scope=col>{}</th>", escape(head)),
            None if head.is_empty() => "<td class=track></td>".to_owned(),
            None => format!("<th scope=col>{}</th>", escape(head)),
        })
        .collect();
    let rows: String = rows.take(ROWS).collect();
    let more = if count > ROWS { format!("<p class=dim>and {} more</p>", count - ROWS) } else { String::new() };
    format!(
        "<div class=scroll tabindex=0><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )
}

fn bar(part: u64, whole: u64, class: &str) -> String {
    let width = part.saturating_mul(1000) / whole.max(1);
    format!("<td class=track><div class=\"bar {class}\" style=\"width:{}.{}%\"></div></td>", width / 10, width % 10)
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".into();
    }
    let tenths = u128::from(part) * 1000 / u128::from(whole);
    if tenths < 100 { format!("{}.{}%", tenths / 10, tenths % 10) } else { format!("{}%", (tenths + 5) / 10) }
}

fn time(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..10_000 => format!("{:.1} ms", us as f64 / 1e3),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        _ => format!("{:.2} s", us as f64 / 1e6),
    }
}

/// Foreign text as HTML text. What cannot be seen or turns the direction of reading is shown as what it is.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                escaped.extend(c.escape_unicode());
            }
            c if c.is_control() => escaped.extend(c.escape_unicode()),
            c => escaped.push(c),
        }
    }
    escaped
}
