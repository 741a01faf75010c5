//! `index.html` as trunk reads it: `<link data-trunk …>` says what belongs to the page.

use std::fmt::Write;

use anyhow::{Context, Result, bail, ensure};

/// The page's source and what it asks for.
pub struct Index<'a> {
    source: &'a str,
    /// Byte ranges of the links in `source`, one per link.
    ranges: Vec<(usize, usize)>,
    /// What they ask for, in their order.
    pub links: Vec<Link>,
}

/// One thing that the page asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Link {
    /// A program.
    Rust(Program),
    /// A style sheet.
    Css(String),
    /// A file beside the page.
    File(String),
    /// A folder beside the page.
    Folder(String),
}

/// A Rust program for the browser.
#[derive(Debug, PartialEq, Eq)]
pub struct Program {
    /// Its `Cargo.toml`.
    pub manifest: String,
    /// Its name.
    pub bin: String,
    /// Cargo features.
    pub features: String,
    /// Whether the package's default features are on.
    pub default_features: bool,
    /// Cargo profile.
    pub profile: Option<String>,
    /// Whether the page starts it, or leaves that to somebody else.
    pub is_worker: bool,
}

const START: &str = "<link data-trunk";

impl<'a> Index<'a> {
    /// Finds the links.
    ///
    /// # Errors
    /// When one of them is of a kind that only trunk knows, or incomplete.
    pub fn parse(source: &'a str) -> Result<Self> {
        let mut index = Self {
            source,
            ranges: Vec::new(),
            links: Vec::new(),
        };
        let mut at = 0;
        while let Some(found) = source[at..].find(START) {
            let start = at + found;
            let length = source[start..].find('>').context("a link without end")?;
            let end = start + length + 1;
            let text = &source[start + START.len()..end - 1];
            let link = Link::parse(text)
                .with_context(|| format!("index.html: {}", &source[start..end]))?;
            index.ranges.push((start, end));
            index.links.push(link);
            at = end;
        }
        ensure!(!index.links.is_empty(), "index.html has no `{START}`");
        Ok(index)
    }

    /// The page with links that a browser understands.
    pub fn rewritten(&self) -> String {
        let mut html = String::new();
        let mut at = 0;
        for (&(start, end), link) in self.ranges.iter().zip(&self.links) {
            html += &self.source[at..start];
            // Writing to a String cannot fail.
            let _ = match link {
                Link::Rust(Program {
                    bin,
                    is_worker: false,
                    ..
                }) => write!(
                    html,
                    "<link rel=\"modulepreload\" href=\"./{bin}.js\">\n  \
                     <link rel=\"preload\" href=\"./{bin}_bg.wasm\" as=\"fetch\" type=\"application/wasm\" crossorigin>\n  \
                     <script type=\"module\">import init from \"./{bin}.js\"; \
                     init({{ module_or_path: \"./{bin}_bg.wasm\" }});</script>"
                ),
                Link::Css(path) => {
                    let name = path.rsplit('/').next().unwrap_or(path);
                    write!(html, "<link rel=\"stylesheet\" href=\"./{name}\">")
                }
                Link::Rust(_) | Link::File(_) | Link::Folder(_) => Ok(()),
            };
            at = end;
        }
        html + &self.source[at..]
    }
}

impl Link {
    fn parse(text: &str) -> Result<Self> {
        let attributes = attributes(text)?;
        let get = |name: &str| {
            attributes
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let href = get("href").context("it has no href")?;
        Ok(match get("rel").as_deref() {
            Some("rust") => Self::Rust(Program {
                manifest: href,
                bin: get("data-bin").context("it has no data-bin")?,
                features: get("data-cargo-features").unwrap_or_default(),
                default_features: get("data-cargo-no-default-features").is_none(),
                profile: get("data-cargo-profile"),
                is_worker: get("data-type").as_deref() == Some("worker"),
            }),
            Some("css") => Self::Css(href),
            Some("copy-file") => Self::File(href),
            Some("copy-dir") => Self::Folder(href),
            other => bail!("rel={other:?} is none of rust, css, copy-file, copy-dir"),
        })
    }
}

/// `name` and `name="value"`, separated by white space.
fn attributes(text: &str) -> Result<Vec<(&str, &str)>> {
    let mut found = Vec::new();
    let mut rest = text.trim_matches(|c: char| c.is_whitespace() || c == '/');
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = match after.strip_prefix("=\"") {
            Some(quoted) => {
                let (value, after) = quoted.split_once('"').context("a quote is not closed")?;
                found.push((name, value));
                after
            }
            None => {
                ensure!(!after.starts_with('='), "the value of {name} has no quotes");
                found.push((name, ""));
                after
            }
        }
        .trim_start();
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = r#"<head>
<link rel="icon" href="data:,">
<link data-trunk rel="css" href="web/style.css">
<link data-trunk rel="rust" href="web/Cargo.toml" data-bin="page" data-cargo-features="page" data-cargo-no-default-features data-cargo-profile="web" />
<link data-trunk rel="rust" href="web/Cargo.toml" data-bin="engine" data-type="worker">
<link data-trunk rel="copy-dir" href="assets">
</head><body>7</body>"#;

    #[test]
    fn finds_what_the_page_asks_for() {
        let links = Index::parse(PAGE).unwrap().links;
        let program = |bin: &str| Program {
            manifest: "web/Cargo.toml".into(),
            bin: bin.into(),
            features: String::new(),
            default_features: true,
            profile: None,
            is_worker: true,
        };
        let page = Program {
            features: "page".into(),
            default_features: false,
            profile: Some("web".into()),
            is_worker: false,
            ..program("page")
        };
        assert_eq!(
            links,
            [
                Link::Css("web/style.css".into()),
                Link::Rust(page),
                Link::Rust(program("engine")),
                Link::Folder("assets".into()),
            ]
        );
    }

    #[test]
    fn leaves_only_links_that_a_browser_understands() {
        let html = Index::parse(PAGE).unwrap().rewritten();
        assert!(!html.contains("data-trunk"), "{html}");
        assert!(html.contains(r#"<link rel="stylesheet" href="./style.css">"#));
        assert!(html.contains("./page_bg.wasm") && !html.contains("engine"));
        assert!(html.starts_with("<head>\n<link rel=\"icon\""));
        assert!(html.ends_with("</head><body>7</body>"));
    }

    #[test]
    fn says_what_is_wrong_with_a_link() {
        for (link, expected) in [
            ("<link data-trunk rel=\"css\">", "no href"),
            ("<link data-trunk rel=\"sass\" href=\"a\">", "sass"),
            ("<link data-trunk rel=\"rust\" href=\"a\">", "data-bin"),
            ("<link data-trunk rel=css href=\"a\">", "no quotes"),
            ("<link data-trunk rel=\"css>", "not closed"),
            ("<link data-trunk rel=\"css\"", "without end"),
            ("<p>", "no `<link data-trunk`"),
        ] {
            let error = Index::parse(link).err().expect(link);
            assert!(format!("{error:#}").contains(expected), "{link}: {error:#}");
        }
    }

    #[test]
    fn the_workspace_s_own_page_is_understood() {
        let path = crate::process::workspace_root().join("index.html");
        let source = std::fs::read_to_string(path).unwrap();
        let index = Index::parse(&source).unwrap();
        let starts = |link: &&Link| matches!(link, Link::Rust(program) if !program.is_worker);
        assert_eq!(index.links.iter().filter(starts).count(), 1);
    }
}
