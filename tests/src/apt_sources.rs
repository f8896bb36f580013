//! Reading the machine's own apt sources, in both formats, to learn where its archive is and which keys it trusts.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

/// One source of binary packages, in the terms of sources.list(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Where the archive is.
    pub uris: Vec<String>,
    /// Releases, for example `bookworm bookworm-updates`.
    pub suites: Vec<String>,
    /// For example `main`.
    pub components: Vec<String>,
    /// All other fields of the stanza (Signed-By, Trusted, ...), as they were.
    pub options: Vec<(String, String)>,
}

impl Source {
    /// The same archive and keys with other suites.
    pub fn with_suites(&self, suites: &[&str]) -> Self {
        Self { suites: suites.iter().map(ToString::to_string).collect(), ..self.clone() }
    }

    fn has_suite(&self, suite: &str) -> bool {
        self.suites.iter().any(|s| s == suite)
    }
}

/// As a deb822 stanza, with the empty line that ends it.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Types: deb")?;
        writeln!(f, "URIs: {}", self.uris.join(" "))?;
        writeln!(f, "Suites: {}", self.suites.join(" "))?;
        writeln!(f, "Components: {}", self.components.join(" "))?;
        for (name, value) in &self.options {
            writeln!(f, "{name}: {value}")?;
        }
        writeln!(f)
    }
}

/// The archive of the release `codename`, among `sources`: the one which offers its `main`.
///
/// Other vendors name their suites after releases too. Distributions' own archives have `-updates`, or end in the
/// distribution's name.
pub fn archive<'a>(sources: &'a [Source], codename: &str) -> Option<&'a Source> {
    let candidates =
        || sources.iter().filter(|s| s.has_suite(codename) && s.components.iter().any(|component| component == "main"));
    let updates = format!("{codename}-updates");
    let named = |s: &&Source| {
        s.uris
            .iter()
            .map(|uri| uri.trim_end_matches('/'))
            .any(|uri| uri.ends_with("/debian") || uri.ends_with("/ubuntu"))
    };
    candidates()
        .find(|s| sources.iter().any(|other| other.uris == s.uris && other.has_suite(&updates)))
        .or_else(|| candidates().find(named))
        .or_else(|| candidates().next())
}

/// The source of security updates of the release `codename`.
pub fn security<'a>(sources: &'a [Source], codename: &str) -> Option<&'a Source> {
    let suite = format!("{codename}-security");
    sources.iter().find(|s| s.has_suite(&suite))
}

/// All sources of `folder/sources.list` and `folder/sources.list.d`. What cannot be read is passed over, as apt does.
pub fn read(folder: &Path) -> Vec<Source> {
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder.join("sources.list.d")).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.insert(0, folder.join("sources.list"));
    let mut sources = Vec::new();
    for file in files {
        let Ok(text) = fs::read_to_string(&file) else { continue };
        match file.extension().and_then(|e| e.to_str()) {
            Some("list") => sources.extend(text.lines().filter_map(one_line)),
            Some("sources") => sources.extend(stanzas(&text)),
            _ => {}
        }
    }
    sources
}

/// A line `deb [option=value ...] URI suite component...`.
fn one_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let rest = line.strip_prefix("deb").filter(|rest| rest.starts_with(char::is_whitespace))?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_string);
    let (uri, suite) = (words.next()?, words.next()?);
    let options = options.split_whitespace().filter_map(|o| o.split_once('=')).map(option).collect();
    Some(Source { uris: vec![uri], suites: vec![suite], components: words.collect(), options })
}

/// An option of the one-line format under its name in the deb822 format.
fn option((name, value): (&str, &str)) -> (String, String) {
    let name = match name {
        "arch" => "Architectures",
        "lang" => "Languages",
        "target" => "Targets",
        other => other,
    };
    (name.to_string(), value.replace(',', " "))
}

/// The enabled `Types: deb` stanzas of a deb822 file.
fn stanzas(text: &str) -> Vec<Source> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    lines.split(|line| line.trim().is_empty()).filter_map(|lines| stanza(&fields(lines))).collect()
}

/// The fields of one stanza; a line that begins with a blank continues the field before it.
fn fields(lines: &[&str]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in lines {
        if line.starts_with(char::is_whitespace) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.to_string(), value.trim().to_string()));
        }
    }
    fields
}

fn stanza(fields: &[(String, String)]) -> Option<Source> {
    let words = |wanted: &str| -> Vec<String> {
        let field = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
        field.map(|(_, value)| value.split_whitespace().map(str::to_string).collect()).unwrap_or_default()
    };
    let own = ["types", "uris", "suites", "components", "enabled"];
    let enabled = words("Enabled").first().is_none_or(|value| !value.eq_ignore_ascii_case("no"));
    let source = Source {
        uris: words("URIs"),
        suites: words("Suites"),
        components: words("Components"),
        options: fields.iter().filter(|(name, _)| !own.contains(&name.to_lowercase().as_str())).cloned().collect(),
    };
    let binary = words("Types").iter().any(|kind| kind == "deb");
    (enabled && binary && !source.uris.is_empty() && !source.suites.is_empty()).then_some(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEB822: &str = "\
# a comment
Types: deb deb-src
# another
URIs: http://archive.example/debian
Suites: stable-name stable-name-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcd

Types: deb-src
URIs: http://source.example/debian
Suites: stable-name
Components: main

Enabled: no
Types: deb
URIs: http://off.example/debian
Suites: stable-name
Components: main
";

    #[test]
    fn deb822_keeps_a_multi_line_key_and_leaves_out_what_is_not_used() {
        let found = stanzas(DEB822);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].suites, ["stable-name", "stable-name-updates"]);
        let key = "Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abcd\n";
        assert!(found[0].to_string().contains(key), "{}", found[0]);
    }

    #[test]
    fn one_line_options_become_fields() {
        let source = one_line("deb [arch=amd64,i386 signed-by=/k.gpg] http://a.example/ubuntu noble main universe # x");
        let text = source.map(|s| s.to_string()).unwrap_or_default();
        let wanted = "Types: deb\nURIs: http://a.example/ubuntu\nSuites: noble\nComponents: main universe\n\
                      Architectures: amd64 i386\nsigned-by: /k.gpg\n\n";
        assert_eq!(text, wanted);
        assert_eq!(one_line("deb-src http://a.example/ubuntu noble main"), None);
        assert_eq!(one_line("# deb http://a.example/ubuntu noble main"), None);
    }

    #[test]
    fn the_archive_is_told_from_other_vendors() {
        let vendor = one_line("deb https://vendor.example/linux noble main");
        let own = one_line("deb http://a.example/ubuntu/ noble main");
        let sources: Vec<Source> = vendor.into_iter().chain(own).collect();
        assert_eq!(archive(&sources, "noble"), Some(&sources[1]));
        assert_eq!(archive(&sources, "jammy"), None);
        assert_eq!(security(&sources, "noble"), None);
    }
}
