//! What tests expect of the programs: messages as texts, or errors by their names.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Message, sources};
use crate::cache;

/// Letters of a text from which on it stands for one message.
const TELLING: usize = 10;

/// The code of all tests, and the texts in it.
pub struct Expected {
    code: String,
    texts: Vec<String>,
}

impl Expected {
    /// From the source: files of tests, and modules of tests, which stand at the end of other files.
    ///
    /// # Errors
    /// A source file cannot be read.
    pub fn read() -> Result<Self, String> {
        Self::of(&cache::workspace())
    }

    fn of(root: &Path) -> Result<Self, String> {
        let mut files: Vec<PathBuf> = Vec::new();
        for folder in ["shared", "stage0", "decode", "pack", "tests/tests"] {
            sources(&root.join(folder), &mut files);
        }
        let mut expected = Self { code: String::new(), texts: Vec::new() };
        for path in files {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            let code = if is_of_tests(path.strip_prefix(root).unwrap_or(&path)) {
                &text
            } else {
                text.split_once("\nmod tests {").map_or("", |(_, code)| code)
            };
            let tokens = code.parse().map_err(|error| format!("{}: {error}", path.display()));
            // What is cut off has one brace too many.
            let tokens = tokens.or_else(|_: String| {
                code.trim_end()
                    .trim_end_matches('}')
                    .parse()
                    .map_err(|error: proc_macro2::LexError| format!("{}: {error}", path.display()))
            });
            literals(tokens?, &mut expected.texts);
            expected.code.push_str(code);
        }
        // What is to come of the corpus.
        let plans = fs::read_dir(root.join("tests/corpus")).into_iter().flatten().flatten().map(|entry| entry.path());
        for path in plans.filter(|path| path.extension().is_some_and(|extension| extension == "plan")) {
            let text = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
            expected.texts.extend(text.lines().map(str::to_owned));
        }
        Ok(expected)
    }

    /// Whether a test expects the message, or the error that it is made of.
    pub fn has(&self, message: &Message) -> bool {
        let telling = |text: &String| text.chars().filter(|letter| letter.is_alphabetic()).count() >= TELLING;
        let texts = self.texts.iter().filter(|text| telling(text));
        let named = self.code.contains(&message.name());
        named || texts.clone().any(|text| message.template.matches(text) || message.template.begins_with(text))
    }
}

/// By its path below the workspace: what lies above is the user's choice.
fn is_of_tests(path: &Path) -> bool {
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let folder = path.components().rev().skip(1).any(|part| part.as_os_str() == "tests");
    name.ends_with("tests") || (folder && !path.components().any(|part| part.as_os_str() == "src"))
}

/// The string literals among tokens, however they are nested.
fn literals(tokens: proc_macro2::TokenStream, found: &mut Vec<String>) {
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Group(group) => literals(group.stream(), found),
            proc_macro2::TokenTree::Literal(literal) => {
                found.extend(syn::parse_str::<syn::LitStr>(&literal.to_string()).map(|text| text.value()));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Paths from which this is the workspace: their words are the user's.
    const ABOVE: [&str; 10] = [
        "clone",
        "src",
        "tests",
        "src/clone",
        "tests/clone",
        "src/tests",
        "tests/src",
        "a b/src",
        "\u{fc} src/src",
        "my tests",
    ];

    #[test]
    fn what_lies_above_the_workspace_makes_no_difference() -> Result<(), Box<dyn std::error::Error>> {
        let folder = tempfile::tempdir()?;
        for above in ABOVE {
            let root = folder.path().join(above).join("clone");
            let text = |name: &str| format!("const TEXT: &str = \"found in {name}\";\n");
            let files = ["pack/src/lib.rs", "pack/tests/cli.rs", "shared/src/tests.rs", "tests/tests/errors.rs"];
            for name in files.into_iter().chain(["tests/corpus/a.plan"]) {
                let path = root.join(name);
                fs::create_dir_all(path.parent().unwrap_or(&root))?;
                fs::write(path, text(name))?;
            }
            let found = Expected::of(&root)?.texts;
            for name in files {
                assert_eq!(found.contains(&format!("found in {name}")), !name.ends_with("lib.rs"), "{above}: {name}");
            }
        }
        Ok(())
    }
}
