//! Code generation: Rust from the `.proto` files in `proto/`.
//!
//! The generated code is committed, so that building tollway needs neither `protoc` nor a build
//! script. `--check` generates it again and compares, so that it cannot drift from the `.proto`
//! files or from the generator, whose version is pinned in this crate's manifest.
//!
//! Everything is generated into a scratch folder first and formatted there, then moved to where
//! it belongs: a failure half-way changes nothing.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use protox::prost::Message as _;

/// Arguments of `cargo xtask codegen`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when the committed code differs from what proto/ generates.
    #[arg(long)]
    check: bool,
}

/// Why code generation, or the comparison with the committed code, failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CodegenError {
    #[error("cannot compile the .proto files")]
    Compile(#[from] protox::Error),
    #[error("cannot read or write `{path}`")]
    File { path: PathBuf, source: io::Error },
    #[error(
        "cannot run rustfmt on the generated code: install it with `rustup component add rustfmt`"
    )]
    Format,
    #[error("cannot generate code")]
    Generate(#[source] io::Error),
    #[error("{} not what proto/ generates: run `cargo xtask codegen`", .paths.join(" and "))]
    Stale { paths: Vec<String> },
}

/// Generates the code, and writes it or compares it with the committed code.
pub(crate) fn run(args: &Args) -> Result<(), CodegenError> {
    let root = repository();
    let scratch = tempfile::tempdir().map_err(at(Path::new("a temporary folder")))?;
    let mut generated = Vec::new();
    for bundle in &BUNDLES {
        let dir = scratch.path().join(bundle.name);
        generated.extend(bundle.generate(&root, &dir)?);
    }
    let stale = stale_files(&root, &generated)?;
    match (args.check, stale.is_empty()) {
        (_, true) => Ok(()),
        (true, false) => Err(CodegenError::Stale {
            paths: stale.iter().map(|file| file.path.to_owned()).collect(),
        }),
        (false, false) => stale.iter().try_for_each(|file| write(&root, file)),
    }
}

/// One set of `.proto` files and the code generated from it.
struct Bundle {
    name: &'static str,
    /// Folder of the `.proto` files, from the root of the repository.
    include: &'static str,
    protos: &'static [&'static str],
    side: Side,
    /// Generated file name → committed path.
    outputs: &'static [(&'static str, &'static str)],
    /// Where the compiled descriptors go, for reflection.
    descriptors: Option<&'static str>,
}

/// Which half of each service is generated.
#[derive(Clone, Copy)]
enum Side {
    Both,
    Client,
    /// Server code over the messages that the client side generated.
    Server,
}

/// A generated file.
struct Output {
    path: &'static str,
    content: Vec<u8>,
}

impl Bundle {
    fn generate(&self, root: &Path, dir: &Path) -> Result<Vec<Output>, CodegenError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let mut compiler = protox::Compiler::new([root.join(self.include)])?;
        compiler.include_source_info(true).include_imports(true);
        compiler.open_files(self.protos)?;

        self.builder()
            .out_dir(dir)
            .compile_fds(compiler.file_descriptor_set())
            .map_err(CodegenError::Generate)?;
        let mut outputs = Vec::new();
        for (name, path) in self.outputs {
            let file = dir.join(name);
            format(&file)?;
            let content = fs::read(&file).map_err(at(&file))?;
            outputs.push(Output { path, content });
        }
        if let Some(path) = self.descriptors {
            compiler.include_source_info(false);
            let content = compiler.file_descriptor_set().encode_to_vec();
            outputs.push(Output { path, content });
        }
        Ok(outputs)
    }

    fn builder(&self) -> tonic_prost_build::Builder {
        let builder = SECRETIVE.iter().fold(
            tonic_prost_build::configure().emit_rerun_if_changed(false),
            // Leaving out `Debug` reaches the enums inside a message, which hold no secret.
            |builder, message| {
                builder
                    .skip_debug([*message])
                    .enum_attribute(*message, "#[derive(Debug)]")
            },
        );
        match self.side {
            Side::Both => builder,
            Side::Client => builder.build_server(false).build_transport(false),
            Side::Server => EXTERN_PACKAGES
                .iter()
                .fold(builder.build_client(false), |builder, (package, module)| {
                    builder.extern_path(*package, *module)
                }),
        }
    }
}

/// Returns the files that are missing or differ from the generated ones.
fn stale_files<'a>(root: &Path, generated: &'a [Output]) -> Result<Vec<&'a Output>, CodegenError> {
    let mut stale = Vec::new();
    for file in generated {
        let path = root.join(file.path);
        match fs::read(&path) {
            Ok(committed) if committed == file.content => {}
            Ok(_) => stale.push(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => stale.push(file),
            Err(source) => return Err(CodegenError::File { path, source }),
        }
    }
    Ok(stale)
}

fn write(root: &Path, file: &Output) -> Result<(), CodegenError> {
    let path = root.join(file.path);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(at(folder))?;
    }
    fs::write(&path, &file.content).map_err(at(&path))
}

/// `cargo fmt` walks into generated modules, so they are committed as it leaves them.
fn format(file: &Path) -> Result<(), CodegenError> {
    let formatted = Command::new("rustfmt")
        .args(["--edition", "2024"])
        .arg(file)
        .status();
    match formatted {
        Ok(status) if status.success() => Ok(()),
        Ok(_) | Err(_) => Err(CodegenError::Format),
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> CodegenError {
    let path = path.to_owned();
    move |source| CodegenError::File { path, source }
}

fn repository() -> PathBuf {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask).to_owned()
}

const LND_PROTOS: &[&str] = &[
    "lightning.proto",
    "router.proto",
    "stateservice.proto",
    "verrpc.proto",
];

const BUNDLES: [Bundle; 3] = [
    Bundle {
        name: "lnd-client",
        include: "proto/lnd",
        protos: LND_PROTOS,
        side: Side::Client,
        outputs: &[
            (
                "lnrpc.rs",
                "crates/tollway-lightning/src/lnd/generated/lnrpc.rs",
            ),
            (
                "routerrpc.rs",
                "crates/tollway-lightning/src/lnd/generated/routerrpc.rs",
            ),
            (
                "verrpc.rs",
                "crates/tollway-lightning/src/lnd/generated/verrpc.rs",
            ),
        ],
        descriptors: None,
    },
    Bundle {
        name: "lnd-server",
        include: "proto/lnd",
        protos: LND_PROTOS,
        side: Side::Server,
        outputs: &[
            (
                "lnrpc.rs",
                "crates/tollway-sandbox/src/lnd/generated/lnrpc.rs",
            ),
            (
                "routerrpc.rs",
                "crates/tollway-sandbox/src/lnd/generated/routerrpc.rs",
            ),
            (
                "verrpc.rs",
                "crates/tollway-sandbox/src/lnd/generated/verrpc.rs",
            ),
        ],
        descriptors: Some("crates/tollway-sandbox/src/lnd/generated/descriptors.bin"),
    },
    Bundle {
        name: "echo",
        include: "proto/test",
        protos: &["echo.proto"],
        side: Side::Both,
        outputs: &[(
            "tollway.test.rs",
            "crates/tollway-gateway/tests/support/echo.rs",
        )],
        descriptors: None,
    },
];

/// Where the server side finds the messages of each package.
const EXTERN_PACKAGES: [(&str, &str); 3] = [
    (".lnrpc", "::tollway_lightning::lnd::proto::lnrpc"),
    (".routerrpc", "::tollway_lightning::lnd::proto::routerrpc"),
    (".verrpc", "::tollway_lightning::lnd::proto::verrpc"),
];

/// Messages that carry a secret; their `Debug` is written by hand, next to the generated module.
const SECRETIVE: [&str; 6] = [
    ".lnrpc.AMP",
    ".lnrpc.AMPRecord",
    ".lnrpc.HTLCAttempt",
    ".lnrpc.Invoice",
    ".lnrpc.Payment",
    ".lnrpc.SendResponse",
];
