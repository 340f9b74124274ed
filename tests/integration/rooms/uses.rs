//! Finds what each room of a crate uses of the others, by parsing its sources.
//!
//! Followed are `use` declarations with renames, groups and globs; paths in types, expressions, patterns and attributes;
//! `crate::`, `self::`, `super::`, the crate's own name and child modules; tokens of macro calls; modules in one file and
//! in files of their own; and re-exports, down to the room that an item comes from. Code under `#[cfg(test)]` is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};

/// A module, as its path from the root of the crate.
type ModulePath = Vec<String>;

/// One use of another room.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Use {
    pub(crate) from: String,
    pub(crate) to: String,
    /// What is used, as a path below the other room; `*` for a glob, empty for the room itself.
    pub(crate) item: String,
    /// File and line.
    pub(crate) place: String,
}

#[derive(Debug, Default)]
struct Module {
    children: BTreeSet<String>,
    /// Names that `use` declarations bring into scope, and what they stand for as written.
    imports: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    /// Every path that is written in the module, with its place.
    paths: Vec<(Vec<String>, String)>,
}

/// A crate's modules without its tests.
#[derive(Debug, Default)]
pub(crate) struct Crate {
    name: String,
    modules: BTreeMap<ModulePath, Module>,
    /// Tops of rooms that are one file or one folder.
    rooms: BTreeSet<String>,
}

impl Crate {
    /// Parses the crate whose root is `root` (`src/lib.rs`), and follows its modules.
    pub(crate) fn parse(root: &Path, name: &str) -> Self {
        let mut parsed = Self { name: name.to_owned(), ..Self::default() };
        parsed.read(root, root.parent().unwrap(), &Vec::new());
        parsed.rooms = parsed.modules[&Vec::new()].children.clone();
        parsed
    }

    /// Parses a crate from text: `files` are paths below `src/`.
    pub(crate) fn parse_texts(files: &[(&str, &str)], name: &str) -> Self {
        let dir = tempfile::TempDir::new().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self::parse(&dir.path().join("lib.rs"), name)
    }

    fn read(&mut self, file: &Path, folder: &Path, module: &ModulePath) {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        if !is_test(&parsed.attrs) {
            self.walk(&parsed.items, file, folder, module);
        }
    }

    fn walk(&mut self, items: &[syn::Item], file: &Path, folder: &Path, module: &ModulePath) {
        self.modules.entry(module.clone()).or_default();
        for item in items {
            if is_test(attributes(item)) {
                continue;
            }
            if let syn::Item::Mod(inner) = item {
                let name = inner.ident.to_string();
                self.modules.get_mut(module).unwrap().children.insert(name.clone());
                let child: ModulePath = module.iter().cloned().chain([name.clone()]).collect();
                match &inner.content {
                    Some((_, items)) => self.walk(items, file, &folder.join(&name), &child),
                    None => {
                        let (file, folder) = module_file(inner, file, folder, &name);
                        self.read(&file, &folder, &child);
                    }
                }
            } else {
                let mut found = Paths { module: self.modules.get_mut(module).unwrap(), file };
                found.visit_item(item);
            }
        }
    }

    /// Every use of one room by another.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (at, module) in self.modules.iter().filter(|(at, _)| !at.is_empty()) {
            for (path, place) in &module.paths {
                // What a room re-exports from within itself is one use; what it passes on of another room is a second one.
                let mut last = &at[0];
                let targets = self.resolve(at, path);
                for target in &targets {
                    let Some((room, item)) = target.split_first().filter(|(room, _)| self.rooms.contains(*room)) else {
                        continue;
                    };
                    if room != last && *room != at[0] {
                        let (from, to, item) = (at[0].clone(), room.clone(), item.join("::"));
                        uses.insert(Use { from, to, item, place: place.clone() });
                    }
                    last = room;
                }
            }
        }
        uses
    }

    /// What a path stands for: as it is written, and after each re-export on its way.
    fn resolve(&self, at: &ModulePath, path: &[String]) -> Vec<ModulePath> {
        let mut steps = Vec::new();
        let mut next = self.absolute(at, path);
        while let Some(target) = next.filter(|target| !steps.contains(target)) {
            next = self.through_export(&target);
            steps.push(target);
        }
        steps
    }

    /// The path from the root of the crate; `None` when it leads out of the crate, or to a local name.
    fn absolute(&self, at: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        let joined = |base: &[String], rest: &[String]| Some(base.iter().chain(rest).cloned().collect());
        match first.as_str() {
            "crate" => joined(&[], rest),
            name if name == self.name => joined(&[], rest),
            "self" => joined(at, rest),
            "super" => {
                let mut base = at.clone();
                let mut rest = path;
                while rest.first().is_some_and(|segment| segment == "super") {
                    base.pop()?;
                    rest = &rest[1..];
                }
                joined(&base, rest)
            }
            name => {
                let module = self.modules.get(at)?;
                if let Some(import) = module.imports.get(name).filter(|import| import.as_slice() != path) {
                    // An import is itself a written path: what it stands for does not depend on imports of the same name.
                    let base = if import.first().is_some_and(|first| first == name) {
                        self.child(at, import)
                    } else {
                        self.absolute(at, import)
                    };
                    return joined(&base?, rest);
                }
                self.child(at, path)
            }
        }
    }

    fn child(&self, at: &ModulePath, path: &[String]) -> Option<ModulePath> {
        let module = self.modules.get(at)?;
        module.children.contains(path.first()?).then(|| at.iter().chain(path).cloned().collect())
    }

    /// Follows the first re-export on the way to `target`.
    fn through_export(&self, target: &ModulePath) -> Option<ModulePath> {
        for length in 0..target.len() {
            let (at, rest) = (target[..length].to_vec(), &target[length..]);
            let module = self.modules.get(&at)?;
            if module.children.contains(&rest[0]) {
                continue;
            }
            if let Some(import) = module.imports.get(&rest[0]) {
                let base = self.absolute(&at, import).filter(|base| *base != *target)?;
                return Some(base.into_iter().chain(rest[1..].iter().cloned()).collect());
            }
            for glob in &module.globs {
                let base = self.absolute(&at, glob)?;
                let known = self.modules.get(&base);
                if known.is_some_and(|known| known.children.contains(&rest[0]) || known.imports.contains_key(&rest[0]))
                {
                    return Some(base.into_iter().chain(rest.iter().cloned()).collect());
                }
            }
            return None;
        }
        None
    }
}

/// Where a module of its own stands, and the folder of its children.
fn module_file(item: &syn::ItemMod, file: &Path, folder: &Path, name: &str) -> (PathBuf, PathBuf) {
    let told = item.attrs.iter().filter(|attribute| attribute.path().is_ident("path")).find_map(|attribute| {
        let syn::Meta::NameValue(pair) = &attribute.meta else { return None };
        let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) = &pair.value else { return None };
        Some(file.parent()?.join(path.value()))
    });
    let plain = folder.join(format!("{name}.rs"));
    let nested = folder.join(name).join("mod.rs");
    let found = told.unwrap_or(if plain.is_file() { plain } else { nested });
    (found, folder.join(name))
}

pub(super) fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether the item is there in tests only.
pub(super) fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

struct Paths<'a> {
    module: &'a mut Module,
    file: &'a Path,
}

impl Paths<'_> {
    fn add(&mut self, path: Vec<String>, span: proc_macro2::Span) {
        self.module.paths.push((path, format!("{}:{}", self.file.display(), span.start().line)));
    }

    fn import(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |ident: &syn::Ident| before.iter().cloned().chain([ident.to_string()]).collect::<Vec<_>>();
        match tree {
            syn::UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) if name.ident == "self" => {
                self.bind(before.last().cloned(), before.to_vec(), name.ident.span());
            }
            syn::UseTree::Name(name) => self.bind(Some(name.ident.to_string()), with(&name.ident), name.ident.span()),
            syn::UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
                self.bind(Some(rename.rename.to_string()), path, rename.ident.span());
            }
            syn::UseTree::Glob(glob) => {
                self.module.globs.push(before.to_vec());
                let path = before.iter().cloned().chain(["*".to_owned()]).collect();
                self.add(path, glob.star_token.spans[0]);
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
        }
    }

    fn bind(&mut self, name: Option<String>, path: Vec<String>, span: proc_macro2::Span) {
        if let Some(name) = name {
            self.module.imports.insert(name, path.clone());
        }
        self.add(path, span);
    }

    /// Paths among the tokens of a macro call or of an attribute, also in texts such as `with = "crate::…"`.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut at = 0;
        while at < tokens.len() {
            match &tokens[at] {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let path = text.trim_matches('"').split("::").map(str::to_owned).collect::<Vec<_>>();
                    if path.len() > 1 && ["crate", "super", "self"].contains(&path[0].as_str()) {
                        self.add(path, literal.span());
                    }
                }
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let [TokenTree::Punct(one), TokenTree::Punct(two), TokenTree::Ident(next)] =
                        &tokens[at + 1..tokens.len().min(at + 4)]
                    {
                        if one.as_char() != ':' || two.as_char() != ':' {
                            break;
                        }
                        path.push(next.to_string());
                        at += 3;
                    }
                    self.add(path, first.span());
                }
                TokenTree::Punct(_) => {}
            }
            at += 1;
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_test(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if let Some(first) = path.segments.first() {
            self.add(segments, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
        visit::visit_attribute(self, attribute);
    }
}
