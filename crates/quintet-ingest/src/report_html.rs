//! The report as one HTML page that needs nothing else.

use std::fmt::Write;

use crate::report::IngestReport;

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:72rem;\
padding:0 1rem;color:#1b1f24;background:#fff}table{border-collapse:collapse;margin:0 0 2rem}\
th,td{border-bottom:1px solid #d0d7de;padding:.3rem .7rem;text-align:left;vertical-align:top}\
td.n{text-align:right;font-variant-numeric:tabular-nums}\
@media(prefers-color-scheme:dark){body{color:#e6edf3;background:#0d1117}\
th,td{border-color:#30363d}}";

/// The whole page.
pub(crate) fn page(report: &IngestReport) -> String {
    let mut out = String::new();
    let name = escape(&report.name);
    let _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Ingest report: {name}</title><style>{STYLE}</style>\
         <h1>Ingest report: {name}</h1><p>{} users, {} items ({} with text), {} events</p>",
        report.users, report.items, report.items_with_text, report.events
    );
    let files = report.files.iter().map(|f| {
        let numbers = [f.rows_in, f.rows_kept, f.rows_reported, f.blank_lines];
        row(&[&f.file, &f.role], &numbers)
    });
    let head = ["File", "Role", "Rows in", "Kept", "Reported", "Blank lines"];
    table(&mut out, "Tables", &head, files);
    let media = report.media.iter().map(|m| {
        let numbers = [m.found, m.ok, m.missing, m.error, m.unmatched, m.duplicate];
        row(&[&m.folder, m.modality.as_str()], &numbers)
    });
    let head =
        ["Folder", "Modality", "Found", "Ok", "Missing", "Unusable", "Without item", "Duplicate"];
    table(&mut out, "Media", &head, media);
    if let Some(text) = &report.text {
        let _ = write!(out, "<p>{}</p>", escape(&text.summary()));
    }
    let groups = report.duplicates.groups.iter().map(|g| {
        let more = g.total.saturating_sub(g.items.len() as u64);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let items = g.items.join(", ") + &more;
        row(&[g.modality.as_str(), g.likeness.as_str(), &items], &[g.total])
    });
    let head = ["Modality", "Likeness", "Items", "Count"];
    table(&mut out, "Items that show the same", &head, groups);
    let counts = report.counts.iter().map(|(code, n)| row(&[code.as_str()], &[*n as u64]));
    table(&mut out, "Faults by kind", &["Kind", "Count"], counts);
    let faults = report.faults.iter().map(|f| {
        let line = f.line.map(|l| l.to_string()).unwrap_or_default();
        let item = f.item.as_deref().unwrap_or_default();
        row(&[f.code.as_str(), &f.file, &line, item, &f.expected, &f.found], &[])
    });
    let head = ["Kind", "File", "Line", "Item", "Expected", "Found"];
    table(&mut out, "Faults", &head, faults);
    out.push_str("</html>\n");
    out
}

fn table(out: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = String>) {
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        return;
    }
    let _ = write!(out, "<h2>{title}</h2><table><tr>");
    for name in head {
        let _ = write!(out, "<th>{name}</th>");
    }
    out.push_str("</tr>");
    out.extend(rows);
    out.push_str("</table>");
}

fn row(texts: &[&str], numbers: &[u64]) -> String {
    let mut out = String::from("<tr>");
    for text in texts {
        let _ = write!(out, "<td>{}</td>", escape(text));
    }
    for number in numbers {
        let _ = write!(out, "<td class=\"n\">{number}</td>");
    }
    out.push_str("</tr>\n");
    out
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_strangers_cannot_become_markup() {
        let report = IngestReport { name: "<script>\"&".into(), ..IngestReport::default() };
        let page = page(&report);
        assert!(!page.contains("<script>") && page.contains("&lt;script&gt;&quot;&amp;"));
    }
}
