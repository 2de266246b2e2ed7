//! Lets the program find libtorch and MuJoCo at run time, and collects for `abs config` what the doc comments of all settings say.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use syn::{
    Attribute, Expr, ExprLit, Fields, GenericArgument, Ident, Item, Lit, LitStr, Meta,
    PathArguments, Token, Type, braced, parenthesized,
    parse::{Parse, ParseStream},
    parse_file, parse_quote, token,
};

/// Sources in which settings are declared.
const FOLDERS: [&str; 4] = ["scripts/src", "policies", "controller", "sim"];
/// The struct that holds all settings.
const ROOT: &str = "Config";
/// Macros that declare settings.
const MACROS: [&str; 3] = ["reward_terms", "tasks", "engines"];

/// A struct or an enum of settings.
struct Declaration {
    folder: &'static str,
    doc: String,
    fields: Vec<Field>,
    /// Names in TOML, and what they mean.
    variants: Vec<(String, String)>,
}

struct Field {
    name: String,
    doc: String,
    /// Name of the type, inside `Option` or `Vec`.
    type_name: String,
    optional: bool,
}

type Declarations = BTreeMap<String, Vec<Declaration>>;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=LIBTORCH");
    if let Ok(libtorch) = env::var("LIBTORCH") {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    println!("cargo::rerun-if-env-changed=MUJOCO_DYNAMIC_LINK_DIR");
    let uses_mujoco = env::var_os("CARGO_FEATURE_MUJOCO").is_some();
    if let (true, Ok(folder)) = (uses_mujoco, env::var("MUJOCO_DYNAMIC_LINK_DIR")) {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{folder}");
    }
    let mut declarations = Declarations::new();
    for folder in FOLDERS {
        let path = Path::new("..").join(folder);
        println!("cargo::rerun-if-changed={}", path.display());
        read_folder(&path, folder, &mut declarations)?;
    }
    let mut keys = String::new();
    write_keys(&declarations, FOLDERS[0], ROOT, "", &mut keys)?;
    let out = PathBuf::from(env::var("OUT_DIR")?).join("keys.rs");
    Ok(fs::write(out, format!("&[\n{keys}]\n"))?)
}

fn read_folder(
    path: &Path,
    folder: &'static str,
    declarations: &mut Declarations,
) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            read_folder(&path, folder, declarations)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path)?;
            // Most files declare no settings.
            if text.contains("Deserialize")
                || MACROS
                    .iter()
                    .any(|name| text.contains(&format!("{name}! {{")))
            {
                let file =
                    parse_file(&text).map_err(|error| format!("{}: {error}", path.display()))?;
                for item in file.items {
                    read_item(item, folder, declarations);
                }
            }
        }
    }
    Ok(())
}

fn read_item(item: Item, folder: &'static str, declarations: &mut Declarations) {
    let (name, fields, attributes, variants) = match item {
        Item::Struct(item) => match item.fields {
            Fields::Named(fields) if derives_deserialize(&item.attrs) => {
                let fields = fields.named.into_iter().filter_map(|field| {
                    // The key of a program without a part is that of the part.
                    let is_key =
                        !names(&field.attrs, "serde", "skip") && !names(&field.attrs, "cfg", "not");
                    is_key.then_some(Field::new(field.ident?, &field.attrs, &field.ty))
                });
                (item.ident, fields.collect(), item.attrs, Vec::new())
            }
            _ => return,
        },
        Item::Enum(item) if derives_deserialize(&item.attrs) => {
            let rule = serde_value(&item.attrs, "rename_all").unwrap_or_default();
            let mut variants = Vec::new();
            // Its names are not those of the variants.
            if serde_value(&item.attrs, "try_from").is_none() {
                let name = |ident: Ident| renamed(&ident.to_string(), &rule);
                let all = item.variants.into_iter();
                variants.extend(all.map(|variant| (name(variant.ident), doc_of(&variant.attrs))));
            }
            (item.ident, Vec::new(), item.attrs, variants)
        }
        Item::Macro(item) if ends_with(&item.mac.path, "engines") => {
            let Ok(found) = item.mac.parse_body::<TableOfEngines>() else {
                return;
            };
            (found.name, Vec::new(), found.attributes, found.variants)
        }
        Item::Macro(item) => match item.mac.parse_body::<DeclaredByMacro>() {
            Ok(found) if MACROS.iter().any(|name| ends_with(&item.mac.path, name)) => {
                (found.name, found.fields, found.attributes, Vec::new())
            }
            _ => return,
        },
        _ => return,
    };
    let doc = doc_of(&attributes);
    let declaration = Declaration {
        folder,
        doc,
        fields,
        variants,
    };
    declarations
        .entry(name.to_string())
        .or_default()
        .push(declaration);
}

fn ends_with(path: &syn::Path, name: &str) -> bool {
    path.segments.last().is_some_and(|last| last.ident == name)
}

/// `Name(..) { key: Type = default, .. }`, with doc comments, where context and types may be left out; and for the table of tasks the tables of
/// the tasks: `tasks { name: Task(Settings), .. }`.
struct DeclaredByMacro {
    attributes: Vec<Attribute>,
    name: Ident,
    fields: Vec<Field>,
}

impl Parse for DeclaredByMacro {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = Attribute::parse_outer(input)?;
        let name = input.parse()?;
        if input.peek(token::Paren) {
            let context;
            parenthesized!(context in input);
            context.parse::<Type>()?;
        }
        let keys;
        braced!(keys in input);
        let mut fields = Vec::new();
        while !keys.is_empty() {
            let attributes = Attribute::parse_outer(&keys)?;
            let key = keys.parse()?;
            let mut ty: Type = parse_quote!(f32);
            if keys.parse::<Option<Token![:]>>()?.is_some() {
                ty = keys.parse()?;
            }
            keys.parse::<Token![=]>()?;
            keys.parse::<Expr>()?;
            keys.parse::<Token![,]>()?;
            if !names(&attributes, "serde", "skip") {
                fields.push(Field::new(key, &attributes, &ty));
            }
        }
        if !input.is_empty() {
            input.parse::<Ident>()?;
            let tasks;
            braced!(tasks in input);
            while !tasks.is_empty() {
                let key = tasks.parse()?;
                tasks.parse::<Token![:]>()?;
                tasks.parse::<Ident>()?;
                let settings;
                parenthesized!(settings in tasks);
                fields.push(Field::new(key, &[], &settings.parse()?));
                tasks.parse::<Token![,]>()?;
            }
        }
        Ok(Self {
            attributes,
            name,
            fields,
        })
    }
}

/// `Name { Variant: "name in TOML", .., ..; .. }`, with doc comments.
struct TableOfEngines {
    attributes: Vec<Attribute>,
    name: Ident,
    variants: Vec<(String, String)>,
}

impl Parse for TableOfEngines {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let attributes = Attribute::parse_outer(input)?;
        let name = input.parse()?;
        let engines;
        braced!(engines in input);
        let mut variants = Vec::new();
        while !engines.is_empty() {
            let doc = doc_of(&Attribute::parse_outer(&engines)?);
            engines.parse::<Ident>()?;
            engines.parse::<Token![:]>()?;
            variants.push((engines.parse::<LitStr>()?.value(), doc));
            while engines.parse::<Option<Token![,]>>()?.is_some() {
                engines.parse::<Expr>()?;
            }
            engines.parse::<Token![;]>()?;
        }
        Ok(Self {
            attributes,
            name,
            variants,
        })
    }
}

impl Field {
    fn new(name: Ident, attributes: &[Attribute], ty: &Type) -> Self {
        let (type_name, optional) = name_of(ty);
        Self {
            name: name.to_string(),
            doc: doc_of(attributes),
            type_name,
            optional,
        }
    }
}

fn derives_deserialize(attributes: &[Attribute]) -> bool {
    names(attributes, "derive", "Deserialize")
}

/// Whether an attribute like `#[serde(skip)]` has this word.
fn names(attributes: &[Attribute], attribute: &str, word: &str) -> bool {
    let mut found = false;
    for attribute in attributes.iter().filter(|a| a.path().is_ident(attribute)) {
        // It ends at what is not of this form.
        let _ = attribute.parse_nested_meta(|meta| {
            found |= meta.path.is_ident(word);
            Ok(())
        });
    }
    found
}

/// `value` in `#[serde(key = "value")]`.
fn serde_value(attributes: &[Attribute], key: &str) -> Option<String> {
    let mut found = None;
    for attribute in attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("serde"))
    {
        // It ends at what is not of this form.
        let _ = attribute.parse_nested_meta(|meta| {
            let is_key = meta.path.is_ident(key);
            if let Ok(value) = meta.value() {
                let value = value.parse::<LitStr>()?.value();
                found = found.take().or(is_key.then_some(value));
            }
            Ok(())
        });
    }
    found
}

/// `PpoLagrangian` as `ppo-lagrangian`.
fn renamed(variant: &str, rule: &str) -> String {
    let separator = match rule {
        "kebab-case" => "-",
        "snake_case" => "_",
        _ => "",
    };
    let mut name = String::new();
    for (index, letter) in variant.chars().enumerate() {
        if index > 0 && letter.is_uppercase() {
            name += separator;
        }
        name.extend(letter.to_lowercase());
    }
    name
}

/// The doc comment in one line.
fn doc_of(attributes: &[Attribute]) -> String {
    let lines = attributes
        .iter()
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(doc) if doc.path.is_ident("doc") => match &doc.value {
                Expr::Lit(ExprLit {
                    lit: Lit::Str(line),
                    ..
                }) => Some(line.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        });
    let words: Vec<String> = lines.collect();
    words.join(" ").replace("[`", "`").replace("`]", "`")
}

/// The last part of a type's path, inside `Option` or `Vec`, and whether it is optional. Empty for what has no path.
fn name_of(ty: &Type) -> (String, bool) {
    let Type::Path(path) = ty else {
        return (String::new(), false);
    };
    let Some(last) = path.path.segments.last() else {
        return (String::new(), false);
    };
    match &last.arguments {
        PathArguments::AngleBracketed(arguments) => match arguments.args.first() {
            Some(GenericArgument::Type(inner)) => (name_of(inner).0, last.ident == "Option"),
            _ => (String::new(), false),
        },
        _ => (last.ident.to_string(), false),
    }
}

/// Appends the keys of the type `name`, which a type in `folder` names, in the order of its fields.
fn write_keys(
    declarations: &Declarations,
    folder: &'static str,
    name: &str,
    prefix: &str,
    text: &mut String,
) -> Result<(), Box<dyn Error>> {
    let Some(declaration) = find(declarations, folder, name)? else {
        return Ok(());
    };
    for field in &declaration.fields {
        let path = format!("{prefix}{}", field.name);
        let inner = find(declarations, declaration.folder, &field.type_name)?;
        let mut doc = match (field.doc.as_str(), inner) {
            ("", Some(inner)) => inner.doc.clone(),
            (doc, _) => doc.to_owned(),
        };
        for (variant, meaning) in inner.iter().flat_map(|inner| &inner.variants) {
            write!(doc, "\n`{variant}`: {meaning}")?;
        }
        let optional = field.optional;
        writeln!(
            text,
            "    Key {{ path: {path:?}, doc: {doc:?}, optional: {optional} }},"
        )?;
        let prefix = format!("{path}.");
        write_keys(
            declarations,
            declaration.folder,
            &field.type_name,
            &prefix,
            text,
        )?;
    }
    Ok(())
}

/// The declaration of a type: the only one of its name, or the only one in the same crate.
fn find<'a>(
    declarations: &'a Declarations,
    folder: &str,
    name: &str,
) -> Result<Option<&'a Declaration>, Box<dyn Error>> {
    let Some(all) = declarations.get(name) else {
        return Ok(None);
    };
    let near: Vec<_> = all
        .iter()
        .filter(|declaration| declaration.folder == folder)
        .collect();
    match (all.as_slice(), near.as_slice()) {
        ([only], _) => Ok(Some(only)),
        (_, [only]) => Ok(Some(*only)),
        _ => Err(format!("two types of settings are named `{name}`; rename one").into()),
    }
}
