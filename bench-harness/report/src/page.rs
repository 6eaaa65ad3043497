//! Reports: sections of prose, figures, tables and charts, shown as one self-contained HTML page or as Markdown.

use crate::chart::STYLE;
use crate::text::prose;
use crate::{Chart, Machine, Table, escape};

/// A part of a section.
#[derive(Clone, Debug)]
pub enum Block {
    /// A paragraph; words between backticks are set as code.
    Prose(String),
    /// A caution or an explanation in smaller type.
    Note(String),
    /// Text as it is, such as commands or output.
    Code(String),
    /// A few numbers that matter most: value and what it is.
    Figures(Vec<(String, String)>),
    /// A table.
    Table(Table),
    /// Charts, side by side where there is room.
    Charts(Vec<Chart>),
}

/// A part of a page under a heading.
#[derive(Clone, Debug)]
pub struct Section {
    /// The heading.
    pub heading: String,
    /// What stands under it.
    pub blocks: Vec<Block>,
}

impl Section {
    /// An empty section.
    pub fn new(heading: impl Into<String>) -> Self {
        Self { heading: heading.into(), blocks: Vec::new() }
    }

    /// The same with a block more.
    pub fn with(mut self, block: Block) -> Self {
        self.blocks.push(block);
        self
    }
}

/// A report.
#[derive(Clone, Debug)]
pub struct Page {
    /// The title.
    pub title: String,
    /// One or two sentences under the title.
    pub summary: String,
    /// Where it was measured.
    pub machine: Option<Machine>,
    /// The sections.
    pub sections: Vec<Section>,
}

const LAYOUT: &str = "\
*{box-sizing:border-box}html{color-scheme:light dark}\
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.55 system-ui,sans-serif;overflow-wrap:break-word}\
main{max-width:1120px;margin:0 auto;padding:24px 20px 64px}\
h1{font-size:1.75rem;line-height:1.2;margin:.4em 0 .3em}h2{font-size:1.3rem;line-height:1.25;margin:2em 0 .5em}\
p{max-width:75ch;margin:.6em 0}.summary{color:var(--muted);font-size:1.05rem}\
.note{color:var(--muted);font-size:.875rem}\
code,pre{font:.875em ui-monospace,monospace;background:var(--panel);border-radius:4px}code{padding:.1em .3em}\
pre{padding:12px;overflow-x:auto}\
.machine{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,170px),1fr));gap:10px 20px;\
background:var(--panel);border:1px solid var(--grid);border-radius:8px;padding:14px 16px;margin:18px 0}\
.machine div{min-width:0}.machine dt{color:var(--muted);font-size:.78rem}.machine dd{margin:0;font-size:.92rem}\
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:16px 0}\
.figures div{background:var(--panel);border:1px solid var(--grid);border-radius:8px;padding:12px 14px}\
.figures b{display:block;font-size:1.45rem;line-height:1.2}.figures span{color:var(--muted);font-size:.875rem}\
.scroll{overflow-x:auto;margin:16px 0}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}\
caption{text-align:left;font-weight:600;padding:0 0 6px;white-space:nowrap}\
th,td{padding:5px 12px;text-align:left;white-space:nowrap;border-bottom:1px solid var(--grid)}\
th{color:var(--muted);font-weight:600}th:first-child,td:first-child{padding-left:2px}.number{text-align:right}\
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:24px;margin:16px 0;align-items:start}\
figure{margin:0;max-width:620px;min-width:0}figcaption{font-weight:600;font-size:.95rem;margin:0 0 6px}\
figure svg{display:block;width:100%;height:auto}";

impl Page {
    /// One HTML file that needs no other and no network.
    pub fn html(&self) -> String {
        let mut out = String::from("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
        out.push_str("<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n");
        out.push_str(&format!(
            "<title>{}</title>\n<style>{STYLE}{LAYOUT}</style>\n</head>\n",
            escape(&self.title)
        ));
        out.push_str(&self.body());
        out.push_str("</html>\n");
        out
    }

    fn body(&self) -> String {
        let mut out = format!("<body>\n<main>\n<h1>{}</h1>\n", escape(&self.title));
        if !self.summary.is_empty() {
            out.push_str(&format!("<p class=\"summary\">{}</p>\n", prose(&self.summary)));
        }
        if let Some(machine) = &self.machine {
            out.push_str("<dl class=\"machine\">");
            for (name, value) in machine.facts() {
                out.push_str(&format!("<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(&value)));
            }
            out.push_str("</dl>\n");
        }
        for section in &self.sections {
            out.push_str(&format!("<section>\n<h2>{}</h2>\n", escape(&section.heading)));
            section.blocks.iter().for_each(|block| out.push_str(&html(block)));
            out.push_str("</section>\n");
        }
        out.push_str("</main>\n</body>\n");
        out
    }

    /// The same as Markdown; of charts only the titles, their numbers stand in the tables.
    pub fn markdown(&self) -> String {
        let mut parts = vec![format!("# {}", self.title)];
        if !self.summary.is_empty() {
            parts.push(self.summary.clone());
        }
        parts.extend(self.machine.iter().map(|machine| machine.table().markdown()));
        for section in &self.sections {
            parts.push(format!("## {}", section.heading));
            parts.extend(section.blocks.iter().map(markdown).filter(|text| !text.is_empty()));
        }
        let parts: Vec<&str> = parts.iter().map(|part| part.trim_end()).collect();
        parts.join("\n\n") + "\n"
    }
}

fn html(block: &Block) -> String {
    match block {
        Block::Prose(text) => format!("<p>{}</p>\n", prose(text)),
        Block::Note(text) => format!("<p class=\"note\">{}</p>\n", prose(text)),
        Block::Code(text) => format!("<pre>{}</pre>\n", escape(text)),
        Block::Table(table) => table.html(),
        Block::Figures(figures) => {
            let each = figures.iter().map(|(value, what)| {
                format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(what))
            });
            format!("<div class=\"figures\">{}</div>\n", each.collect::<String>())
        }
        Block::Charts(charts) => {
            let each = charts.iter().map(|chart| {
                format!(
                    "<figure><figcaption>{}</figcaption>\n{}</figure>",
                    escape(chart.title()),
                    chart.inline()
                )
            });
            format!("<div class=\"charts\">{}</div>\n", each.collect::<String>())
        }
    }
}

fn markdown(block: &Block) -> String {
    match block {
        Block::Prose(text) | Block::Note(text) => text.clone(),
        Block::Code(text) => format!("```\n{}\n```", text.trim_end()),
        Block::Table(table) => table.markdown(),
        Block::Figures(figures) => {
            figures.iter().map(|(value, what)| format!("- **{value}** {what}\n")).collect::<String>()
        }
        Block::Charts(_) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::tests::well_formed;
    use crate::{Axis, BarChart, Group};

    fn example() -> Page {
        let mut table = Table::new("Times", &["<case", "seconds"]);
        table.push(["<dot>", "1"]);
        let groups = vec![Group { name: "g & h".into(), bars: vec![("".into(), 2.0)] }];
        let chart = BarChart { title: "Bars".into(), axis: Axis::linear("x"), groups, reference: None };
        let section = Section::new("A < B")
            .with(Block::Prose("run `tilewise demo` & wait".into()))
            .with(Block::Note("noisy".into()))
            .with(Block::Code("a <b".into()))
            .with(Block::Figures(vec![("1.9x".into(), "2 threads & more".into())]))
            .with(Block::Table(table))
            .with(Block::Charts(vec![Chart::Bar(chart)]));
        let machine = Machine { cpu: "X<Y>".into(), cores: 2, ..Machine::default() };
        Page { title: "T & U".into(), summary: "S".into(), machine: Some(machine), sections: vec![section] }
    }

    #[test]
    fn the_page_is_well_formed_and_needs_no_network() {
        let page = example();
        assert_eq!(well_formed(&page.body()), Ok(()));
        let html = page.html();
        for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script"] {
            assert!(!html.contains(reference), "{reference}");
        }
        assert!(html.contains("<code>tilewise demo</code> &amp; wait") && html.contains("X&lt;Y&gt;"));
    }

    #[test]
    fn markdown_holds_the_same() {
        let markdown = example().markdown();
        for part in
            ["# T & U\n\nS\n", "## A < B\n", "| <dot> |       1 |", "- **1.9x** 2 threads", "| Processor"]
        {
            assert!(markdown.contains(part), "{part} is missing in\n{markdown}");
        }
    }
}
