//! The map, enforced: which room may name which, no circles between files, no type name in two rooms. The sources are
//! parsed, and a name that comes through a re-export counts as taken from the file that defines it. Between crates Cargo
//! holds the arrows; the kernel is besides held to what a pure machine may touch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use petgraph::algo::tarjan_scc;
use petgraph::graphmap::DiGraphMap;
use syn::visit::{self, Visit};

/// Each room of `src/` with the rooms and crates that it may name. A room that is not listed may not exist.
const ARROWS: &[(&str, &[&str])] = &[
    ("journal", &["kernel"]),
    ("southbound", &["api", "kernel"]),
    ("auth", &["api", "journal", "kernel"]),
    ("app", &["kernel", "journal", "southbound"]),
    // Of mqtt what a topic filter is, and what the broker tells operators.
    ("http", &["app", "auth", "api", "kernel", "formats", "mqtt", "optimizer"]),
    ("aggregator_mqtt", &["app", "auth", "api", "formats", "kernel", "mqtt"]),
    ("config", &["kernel", "mqtt"]),
    ("telemetry", &["app", "config", "kernel", "mqtt"]),
    (
        "service",
        &[
            "aggregator_mqtt",
            "api",
            "app",
            "auth",
            "config",
            "formats",
            "http",
            "journal",
            "kernel",
            "mqtt",
            "telemetry",
            "web",
        ],
    ),
    ("cli", &["api", "auth", "config", "formats", "gateway", "http", "kernel", "mqtt", "service", "telemetry"]),
    ("main", &["cli"]),
];

const CRATES: [&str; 7] = ["api", "formats", "gateway", "kernel", "mqtt", "optimizer", "web"];

/// What each crate may depend on of this workspace; the kernel's third parties are its proof of purity.
const MANIFESTS: &[(&str, &[&str])] = &[
    ("kernel", &["petgraph", "thiserror"]),
    ("optimizer", &["kernel"]),
    ("formats", &["api", "kernel"]),
    ("api", &[]),
    ("mqtt", &[]),
    ("web", &["mqtt"]),
    ("gateway", &["api", "mqtt", "web"]),
];

/// Types that may have the same name in several rooms: what each means is plain from the room.
const SAME_NAME: &[&str] = &["Error", "Arguments", "Options"];

/// What the kernel may never say.
const NOT_IN_THE_KERNEL: [&str; 9] = [
    "std::time",
    "std::thread",
    "std::fs",
    "std::net::Tcp",
    "std::sync::Mutex",
    "std::sync::RwLock",
    "HashMap",
    "HashSet",
    "f64",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A file of a crate.
struct Source {
    path: PathBuf,
    /// The crate's name and the modules below it.
    module: Vec<String>,
    /// The types that it defines, but for those of tests.
    types: Vec<String>,
    /// The modules that it declares.
    modules: Vec<String>,
    named: Named,
}

/// Every file of the service and of the crates. Files of tests beside the code are left out.
fn sources() -> Vec<Source> {
    let mut found = vec![];
    let mut read = |name: &str, folder: PathBuf| {
        for path in files(&folder) {
            let inside = path.strip_prefix(&folder).unwrap().with_extension("");
            let mut module = vec![name.to_owned()];
            module.extend(inside.components().map(|part| part.as_os_str().to_string_lossy().into_owned()));
            if matches!(module.last().unwrap().as_str(), "mod" | "lib") {
                module.pop();
            }
            if module.iter().any(|part| part.ends_with("tests")) {
                continue;
            }
            let syntax = syn::parse_file(&fs::read_to_string(&path).unwrap()).unwrap();
            let mut named = Named::default();
            named.visit_file(&syntax);
            let path = path.strip_prefix(root()).unwrap().to_owned();
            found.push(Source { path, module, types: types(&syntax), modules: modules(&syntax), named });
        }
    };
    read("watermaster", root().join("src"));
    for name in CRATES {
        read(name, root().join("crates").join(name).join("src"));
    }
    found
}

/// The modules that a file declares.
fn modules(syntax: &syn::File) -> Vec<String> {
    let declared = syntax.items.iter().filter_map(|item| match item {
        syn::Item::Mod(item) => Some(item.ident.to_string()),
        _ => None,
    });
    declared.collect()
}

/// The types that a file defines, but for those of tests.
fn types(syntax: &syn::File) -> Vec<String> {
    let named = syntax.items.iter().filter_map(|item| {
        let (name, attributes) = match item {
            syn::Item::Struct(item) => (&item.ident, &item.attrs),
            syn::Item::Enum(item) => (&item.ident, &item.attrs),
            syn::Item::Trait(item) => (&item.ident, &item.attrs),
            syn::Item::Type(item) => (&item.ident, &item.attrs),
            _ => return None,
        };
        (!is_test(attributes)).then(|| name.to_string())
    });
    named.collect()
}

fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

/// The paths that a file names, `use` lines spread out.
#[derive(Default)]
struct Named {
    paths: Vec<Vec<String>>,
    /// Names that the file has by `use`, and what they stand for.
    imports: BTreeMap<String, Vec<String>>,
}

impl Named {
    fn spread(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.spread(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|item| self.spread(item, prefix)),
            syn::UseTree::Name(name) => self.import(prefix, &name.ident, &name.ident),
            syn::UseTree::Rename(rename) => self.import(prefix, &rename.ident, &rename.rename),
            syn::UseTree::Glob(_) => self.paths.push(prefix.clone()),
        }
    }

    fn import(&mut self, prefix: &[String], name: &syn::Ident, alias: &syn::Ident) {
        let mut path = prefix.to_vec();
        if name != "self" {
            path.push(name.to_string());
        }
        let alias = if alias == "self" { path.last().unwrap().clone() } else { alias.to_string() };
        self.imports.insert(alias, path.clone());
        self.paths.push(path);
    }
}

impl<'ast> Visit<'ast> for Named {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            _ => &vec![],
        };
        if !is_test(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.spread(&item.tree, &mut vec![]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    /// The arguments of macros are tokens: whole paths are found in their text.
    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let text = call.tokens.to_string().replace(" :: ", "::");
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')) {
            if ["crate::", "super::", "self::"].iter().any(|start| word.starts_with(start)) {
                self.paths.push(word.trim_end_matches(':').split("::").map(str::to_owned).collect());
            }
        }
        visit::visit_macro(self, call);
    }
}

/// Where a name that a room re-exports is taken from.
#[derive(Clone, Copy)]
enum Through {
    /// From the file that defines it.
    ReExports,
    /// From the room that offers it.
    NoReExport,
}

/// How many re-exports are followed.
const RE_EXPORTS_MAX: usize = 8;

/// The files and what they name.
struct House {
    sources: Vec<Source>,
    by_module: BTreeMap<Vec<String>, usize>,
}

impl House {
    /// The sources, parsed once for all tests.
    fn read() -> &'static Self {
        static HOUSE: OnceLock<House> = OnceLock::new();
        HOUSE.get_or_init(|| {
            let sources = sources();
            let by_module = sources.iter().enumerate().map(|(at, source)| (source.module.clone(), at)).collect();
            Self { sources, by_module }
        })
    }

    /// The file that defines what `path` names in file `from`, if it is one of this workspace.
    fn target(&self, from: usize, path: &[String], depth: usize) -> Option<usize> {
        let module = &self.sources[from].module;
        let mut absolute: Vec<String> = match path.first()?.as_str() {
            "crate" => module[..1].to_vec(),
            "self" => module.clone(),
            "super" => module[..module.len() - 1].to_vec(),
            first if CRATES.contains(&first) && !self.is_child(module, first) => vec![first.to_owned()],
            first if self.is_child(module, first) => [module.as_slice(), &[first.to_owned()]].concat(),
            first => {
                let import =
                    self.sources[from].named.imports.get(first).filter(|import| import.first() != path.first())?;
                return self.target(from, &[import.as_slice(), &path[1..]].concat(), depth);
            }
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|part| part == "super") {
            absolute.pop();
            rest = &rest[1..];
        }
        while let Some(part) = rest.first() {
            if !self.is_child(&absolute, part) {
                break;
            }
            absolute.push(part.clone());
            rest = &rest[1..];
        }
        let found = *self.by_module.get(&absolute)?;
        let Some(name) = rest.first() else { return Some(found) };
        match self.sources[found].named.imports.get(name) {
            Some(import) if found != from && depth < RE_EXPORTS_MAX && *import != path => {
                self.target(found, import, depth + 1).or(Some(found))
            }
            _ => Some(found),
        }
    }

    fn is_child(&self, module: &[String], name: &str) -> bool {
        self.by_module.contains_key(&[module, &[name.to_owned()]].concat())
    }

    /// The room of a file: a crate, or a folder or file of `src/`.
    fn room(&self, at: usize) -> &str {
        match self.sources[at].module.as_slice() {
            [service, room, ..] if service == "watermaster" => room,
            [room, ..] => room,
            [] => "",
        }
    }

    /// Each file with each other file that it names: the one that defines the name, or the one that offers it.
    fn arrows(&self, through: Through) -> BTreeSet<(usize, usize)> {
        let depth = match through {
            Through::ReExports => 0,
            Through::NoReExport => RE_EXPORTS_MAX,
        };
        let mut arrows = BTreeSet::new();
        for (from, source) in self.sources.iter().enumerate() {
            for path in &source.named.paths {
                arrows.extend(self.target(from, path, depth).filter(|to| *to != from).map(|to| (from, to)));
            }
        }
        arrows
    }
}

#[test]
fn rooms_name_only_those_they_may() {
    let house = House::read();
    let mut broken = BTreeSet::new();
    for (from, to) in house.arrows(Through::NoReExport) {
        let (source, from, to) = (&house.sources[from], house.room(from), house.room(to));
        if source.module[0] != "watermaster" || source.module.len() == 1 || from == to {
            continue;
        }
        let allowed = ARROWS.iter().find(|(name, _)| *name == from);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("{} is in no room of the map", source.path.display()));
        if !allowed.contains(&to) {
            broken.insert(format!("{} names {to}", source.path.display()));
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A door (`mod.rs`, `lib.rs`) and the files behind it are one room: what a file takes from the doors above it is no arrow.
#[test]
fn no_files_import_each_other() {
    let house = House::read();
    let is_door_of = |door: usize, file: usize| house.sources[file].module.starts_with(&house.sources[door].module);
    let graph: DiGraphMap<usize, ()> =
        house.arrows(Through::ReExports).into_iter().filter(|(from, to)| !is_door_of(*to, *from)).collect();
    let circles: Vec<Vec<&Path>> = tarjan_scc(&graph)
        .into_iter()
        .filter(|files| files.len() > 1)
        .map(|files| files.into_iter().map(|at| house.sources[at].path.as_path()).collect::<Vec<_>>())
        .collect();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_type_is_defined_in_two_rooms() {
    let house = House::read();
    let mut rooms: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (at, source) in house.sources.iter().enumerate() {
        for name in source.types.iter().filter(|name| !SAME_NAME.contains(&name.as_str())) {
            rooms.entry(name).or_default().insert(house.room(at));
        }
    }
    rooms.retain(|_, rooms| rooms.len() > 1);
    assert!(rooms.is_empty(), "{rooms:#?}");
}

#[test]
fn the_crates_depend_on_what_the_map_says() {
    for (name, allowed) in MANIFESTS {
        let text = fs::read_to_string(root().join("crates").join(name).join("Cargo.toml")).unwrap();
        let manifest: toml::Table = text.parse().unwrap();
        let none = toml::Table::new();
        let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table).unwrap_or(&none);
        for dependency in dependencies.keys() {
            let ours = CRATES.contains(&dependency.as_str());
            if ours || *name == "kernel" {
                assert!(allowed.contains(&dependency.as_str()), "{name} depends on {dependency}");
            }
        }
    }
}

#[test]
fn the_kernel_is_pure() {
    let mut broken = vec![];
    for path in files(&root().join("crates/kernel/src")) {
        let text = fs::read_to_string(&path).unwrap();
        let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap()).collect();
        let code = code.join("\n");
        broken.extend(
            NOT_IN_THE_KERNEL
                .iter()
                .filter(|word| code.contains(**word))
                .map(|word| format!("{} says {word}", path.display())),
        );
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_is_compiled() {
    let house = House::read();
    for source in house.sources.iter().filter(|source| source.module.len() > 1 && !source.path.ends_with("main.rs")) {
        let (name, parent) = source.module.split_last().unwrap();
        let parent = &house.sources[house.by_module[parent]];
        assert!(parent.modules.contains(name), "{} belongs to no module", source.path.display());
    }
}

#[test]
fn every_file_says_what_it_holds() {
    for source in &House::read().sources {
        let text = fs::read_to_string(root().join(&source.path)).unwrap();
        assert!(text.starts_with("//!"), "{} does not say what it holds", source.path.display());
    }
}
