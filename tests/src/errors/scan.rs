//! Finds the messages in a source file: of enums that are errors, and of the few structs that stand alone.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Arm, Attribute, Expr, File, ImplItem, Item, ItemImpl, Lit, Meta, Type};

use super::{Message, Template};
use crate::stage0::ERROR;

/// Structs that are messages though they are no errors that anything returns.
const STRUCTS: [&str; 4] = ["Fault", "Refused", "TooManyRegions", "NeedError"];

/// The messages of a file, in the order in which they stand.
pub(super) fn file(text: &str) -> Result<Vec<Message>, syn::Error> {
    let file = syn::parse_file(text)?;
    let found = Impls::of(&file);
    let mut messages = Vec::new();
    for item in &file.items {
        match item {
            Item::Enum(item) if found.is_error(&item.ident.to_string(), &item.attrs) => {
                let group = item.ident.to_string();
                for variant in &item.variants {
                    let name = variant.ident.to_string();
                    let own = attribute(&variant.attrs);
                    let text = own.or_else(|| found.arms.get(&(group.clone(), name.clone())).cloned());
                    let template = Template::new(text.unwrap_or_default());
                    if template.says_something() {
                        messages.push(Message {
                            group: group.clone(),
                            variant: name,
                            template,
                            cause: doc(&variant.attrs),
                        });
                    }
                }
            }
            Item::Struct(item) if STRUCTS.contains(&item.ident.to_string().as_str()) => {
                let group = item.ident.to_string();
                let text = found.structs.get(&group).cloned().unwrap_or_default();
                let (template, cause) = (Template::new(text), doc(&item.attrs));
                messages.push(Message { group, variant: String::new(), template, cause });
            }
            _ => {}
        }
    }
    let mut spoken = Spoken(Vec::new());
    spoken.visit_file(&file);
    let message = |text: String| Message {
        group: "in place".to_owned(),
        variant: text
            .split(|letter: char| !letter.is_alphabetic())
            .filter(|word| word.len() > 2)
            .take(3)
            .collect::<Vec<_>>()
            .join("-"),
        template: Template::new(text),
        cause: "As it says".to_owned(),
    };
    messages.extend(spoken.0.into_iter().map(message).filter(|message| message.template.says_something()));
    Ok(messages)
}

/// What the impls of a file say.
#[derive(Default)]
struct Impls {
    /// Types that are errors.
    errors: BTreeSet<String>,
    /// The text of each enum's variant.
    arms: BTreeMap<(String, String), String>,
    /// The text of each struct.
    structs: BTreeMap<String, String>,
}

impl Impls {
    fn of(file: &File) -> Self {
        let mut found = Self::default();
        for item in &file.items {
            if let Item::Impl(item) = item {
                found.add(item);
            }
        }
        found
    }

    fn add(&mut self, item: &ItemImpl) {
        let Type::Path(path) = &*item.self_ty else { return };
        let Some(name) = path.path.segments.last().map(|segment| segment.ident.to_string()) else { return };
        let of =
            item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last()).map(|segment| segment.ident.to_string());
        match of.as_deref() {
            Some("Error") => {
                self.errors.insert(name);
            }
            Some("Display") | None => {
                for function in item
                    .items
                    .iter()
                    .filter_map(|item| if let ImplItem::Fn(function) = item { Some(function) } else { None })
                {
                    let mut arms = Arms { group: &name, found: &mut self.arms };
                    arms.visit_block(&function.block);
                    if of.is_some() {
                        let mut texts = Texts(Vec::new());
                        texts.visit_block(&function.block);
                        self.structs.insert(name.clone(), texts.0.concat());
                    }
                }
            }
            Some(_) => {}
        }
    }

    fn is_error(&self, name: &str, attributes: &[Attribute]) -> bool {
        let derived = |attribute: &Attribute| match &attribute.meta {
            Meta::List(list) if list.path.is_ident("derive") => list.tokens.to_string().contains("Error"),
            _ => false,
        };
        self.errors.contains(name) || attributes.iter().any(derived)
    }
}

/// Finds what each arm for `Self::Variant` says.
struct Arms<'a> {
    group: &'a str,
    found: &'a mut BTreeMap<(String, String), String>,
}

impl<'ast> Visit<'ast> for Arms<'_> {
    fn visit_arm(&mut self, arm: &'ast Arm) {
        let mut variants = Variants(Vec::new());
        variants.visit_pat(&arm.pat);
        let mut texts = Texts(Vec::new());
        texts.visit_expr(&arm.body);
        for variant in variants.0 {
            let text = self.found.entry((self.group.to_owned(), variant)).or_default();
            if text.is_empty() {
                *text = texts.0.concat();
            }
        }
        visit::visit_arm(self, arm);
    }
}

/// The variants that a pattern names.
struct Variants(Vec<String>);

impl<'ast> Visit<'ast> for Variants {
    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let [own, variant] = &names[..]
            && own == "Self"
        {
            self.0.push(variant.clone());
        }
    }
}

/// The texts in expressions and macros.
struct Texts(Vec<String>);

impl<'ast> Visit<'ast> for Texts {
    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0.push(text.value());
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.0.extend(texts_of(call).into_iter().take(1));
    }
}

/// The string literals among a macro's arguments.
fn texts_of(call: &syn::Macro) -> Vec<String> {
    let arguments = call.parse_body_with(syn::punctuated::Punctuated::<Expr, syn::Token![,]>::parse_terminated);
    let text = |argument: Expr| match argument {
        Expr::Lit(literal) => {
            if let Lit::Str(text) = literal.lit {
                Some(text.value())
            } else {
                None
            }
        }
        _ => None,
    };
    arguments.into_iter().flatten().filter_map(text).collect()
}

/// Messages that are made where they are needed: by `bail!` and `anyhow!`, for a panic in stage0, and before it has got as far as
/// its errors.
struct Spoken(Vec<String>);

impl<'ast> Visit<'ast> for Spoken {
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        if call.path.is_ident("bail") || call.path.is_ident("anyhow") {
            self.0.extend(texts_of(call).into_iter().take(1));
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        if text.value().starts_with("bug in stage0") {
            self.0.push(text.value());
        }
    }

    fn visit_lit_byte_str(&mut self, text: &'ast syn::LitByteStr) {
        let text = text.value();
        let line = str::from_utf8(&text).ok().and_then(|text| text.strip_prefix(ERROR));
        self.0.extend(line.map(|line| line.trim_end().to_owned()));
    }
}

/// The text of `#[error("...")]`.
fn attribute(attributes: &[Attribute]) -> Option<String> {
    let of = |attribute: &Attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("error") => {
            let arguments = list.parse_args_with(
                syn::punctuated::Punctuated::<proc_macro_arg::Argument, syn::Token![,]>::parse_terminated,
            );
            arguments.ok()?.into_iter().next().and_then(|argument| argument.0)
        }
        _ => None,
    };
    attributes.iter().find_map(of)
}

/// The first sentence or so of a doc comment, in one line.
fn doc(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(literal) => {
                if let Lit::Str(text) = &literal.lit {
                    Some(text.value().trim().to_owned())
                } else {
                    None
                }
            }
            _ => None,
        },
        _ => None,
    };
    unlinked(&attributes.iter().filter_map(line).collect::<Vec<_>>().join(" "))
}

/// A text without rustdoc's links: their names stay.
fn unlinked(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((name, behind)) = link.split_once("`]") else { break };
        out.push_str(&format!("{before}`{name}`"));
        let target = behind.strip_prefix('(').and_then(|behind| behind.split_once(')'));
        rest = target.map_or(behind, |(_, behind)| behind);
    }
    out + rest
}

mod proc_macro_arg {
    use syn::parse::{Parse, ParseStream};

    /// An argument of thiserror's attribute: a text, or anything else, which is not looked at.
    pub(super) struct Argument(pub(super) Option<String>);

    impl Parse for Argument {
        fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
            if input.peek(syn::LitStr) {
                return Ok(Self(Some(input.parse::<syn::LitStr>()?.value())));
            }
            // Up to the next comma.
            while !input.is_empty() && !input.peek(syn::Token![,]) {
                input.step(|cursor| {
                    cursor.token_tree().map(|(_, rest)| ((), rest)).ok_or_else(|| cursor.error("an end"))
                })?;
            }
            Ok(Self(None))
        }
    }
}
