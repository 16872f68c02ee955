//! How the program is brought to where it runs: the units of systemd, the Debian package, the container image.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::client::{ask_text, ask_with};

const PROGRAM: &str = env!("CARGO_BIN_EXE_watermaster");
const UNITS: [&str; 3] = ["watermaster", "watermaster-broker", "watermaster-gateway"];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy")
}

fn text(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// Runs a tool that has to be content; says what it said on standard output.
fn run(tool: &mut Command) -> String {
    let Output { status, stdout, stderr } = tool.output().unwrap();
    assert!(status.success(), "{tool:?}: {}{}", text(&stdout), text(&stderr));
    text(&stdout)
}

/// What systemd complains of in a unit. Settings that are newer than this systemd do not count, nor that the manual is not
/// installed.
fn complaints(unit: &Path) -> Vec<String> {
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(unit).output().unwrap();
    let newer = ["'RestartSteps'", "'RestartMaxDelaySec'"];
    let is_newer = |line: &str| line.contains("Unknown key") && newer.iter().any(|key| line.contains(key));
    let name = unit.file_name().and_then(OsStr::to_str).unwrap();
    text(&output.stderr).lines().filter(|line| line.contains(name) && !is_newer(line)).map(str::to_owned).collect()
}

#[test]
fn systemd_takes_the_units_and_finds_little_exposed() {
    let folder = tempfile::tempdir().unwrap();
    for name in UNITS {
        let unit = fs::read_to_string(deploy().join(format!("systemd/{name}.service"))).unwrap();
        let path = folder.path().join(format!("{name}.service"));
        fs::write(&path, unit.replace("/usr/bin/watermaster", PROGRAM)).unwrap();
        assert_eq!(complaints(&path), [""; 0]);
        // In tenths: ordinary services of a distribution have about 90.
        run(Command::new("systemd-analyze").args(["security", "--offline=yes", "--threshold=15"]).arg(&path));
        // A database that is away is waited for, a wrong configuration is not.
        assert!(
            unit.contains("StartLimitIntervalSec=0\n") && unit.contains("RestartPreventExitStatus=2 78\n"),
            "{name}"
        );
    }
    let wrong = folder.path().join("wrong.service");
    fs::write(&wrong, format!("[Service]\nExecStart={PROGRAM}\nRestartSteps=1\nNoSuchKey=1\n")).unwrap();
    assert!(complaints(&wrong).iter().any(|line| line.contains("NoSuchKey")), "{:?}", complaints(&wrong));
}

#[test]
fn the_sample_configurations_have_only_keys_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let uncommented = |name: &str| {
        let sample = fs::read_to_string(deploy().join(name)).unwrap();
        let is_key = |line: &str| line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let lines = sample.lines().map(|line| line.strip_prefix('#').filter(|rest| is_key(rest)).unwrap_or(line));
        let path = folder.path().join(name);
        fs::write(&path, lines.collect::<Vec<_>>().join("\n")).unwrap();
        path
    };
    let printed = run(Command::new(PROGRAM).args(["config", "--config"]).arg(uncommented("watermaster.toml")));
    assert!(printed.contains("drain_ms = 10000"), "{printed}");
    // What it says of the interval it says once it has read the file.
    let gateway = Command::new(PROGRAM)
        .args(["gateway", "--report-every-ms", "0", "--config"])
        .arg(uncommented("gateway.toml"))
        .output()
        .unwrap();
    assert_eq!(gateway.status.code(), Some(78));
    assert!(text(&gateway.stderr).contains("report_every_ms"), "{}", text(&gateway.stderr));
}

/// The package, made in a folder as quickly as it can be.
fn make_package(folder: &Path) -> PathBuf {
    let mut build = Command::new(deploy().join("debian/build"));
    build.args([OsStr::new(PROGRAM), folder.as_os_str()]);
    build.envs([("DPKG_DEB_COMPRESSOR_TYPE", "gzip"), ("DPKG_DEB_COMPRESSOR_LEVEL", "1"), ("SOURCE_DATE_EPOCH", "1")]);
    PathBuf::from(run(&mut build).trim())
}

fn dpkg(root: &Path, arguments: &[&OsStr]) {
    let mut dpkg = Command::new("dpkg");
    dpkg.arg(format!("--root={}", root.display()));
    dpkg.args(["--force-script-chrootless", "--force-depends", "--force-not-root", "--force-bad-path"]);
    run(dpkg.args(arguments));
}

#[test]
fn the_debian_package_is_installed_removed_and_purged() {
    let folder = tempfile::tempdir().unwrap();
    let package = make_package(folder.path());
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("var/lib/dpkg/updates")).unwrap();
    fs::create_dir_all(root.join("var/lib/dpkg/info")).unwrap();
    fs::write(root.join("var/lib/dpkg/status"), "").unwrap();
    dpkg(&root, &[OsStr::new("--install"), package.as_os_str()]);

    let program = root.join("usr/bin/watermaster");
    assert_eq!(run(Command::new(&program).arg("version")).trim(), env!("CARGO_PKG_VERSION"));
    let configuration = root.join("etc/watermaster/watermaster.toml");
    let printed = run(Command::new(&program).args(["config", "--config"]).arg(&configuration));
    assert!(printed.contains("sqlite:///var/lib/watermaster/watermaster.db"), "{printed}");
    for name in UNITS {
        assert!(root.join(format!("usr/lib/systemd/system/{name}.service")).exists(), "{name}");
    }
    for page in ["watermaster", "watermaster-serve", "watermaster-broker", "watermaster-gateway"] {
        assert!(root.join(format!("usr/share/man/man1/{page}.1.gz")).exists(), "{page}");
    }
    let completion = root.join("usr/share/bash-completion/completions/watermaster");
    run(Command::new("bash").arg("-n").arg(completion));

    // What the operator changed stays until a purge, and what the service wrote stays for good.
    fs::write(&configuration, "drain_ms = 1\n").unwrap();
    let books = root.join("var/lib/watermaster/watermaster.db");
    fs::create_dir_all(books.parent().unwrap()).unwrap();
    fs::write(&books, "").unwrap();
    dpkg(&root, &["--install".as_ref(), package.as_os_str()]);
    assert_eq!(fs::read_to_string(&configuration).unwrap(), "drain_ms = 1\n");
    dpkg(&root, &["--remove".as_ref(), "watermaster".as_ref()]);
    assert!(!program.exists() && configuration.exists());
    dpkg(&root, &["--purge".as_ref(), "watermaster".as_ref()]);
    assert!(!root.join("etc/watermaster").exists() && books.exists());
}

#[test]
fn the_same_program_gives_the_same_package() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let [one, other] = [&one, &other].map(|folder| fs::read(make_package(folder.path())).unwrap());
    assert!(one == other, "they differ");
}

#[test]
fn the_container_image_has_all_that_the_program_needs_and_serves() {
    let folder = tempfile::tempdir().unwrap();
    let storage = folder.path().join("storage.conf");
    let (graph, runs) = (folder.path().join("graph"), folder.path().join("run"));
    let text = format!("[storage]\ndriver = \"vfs\"\ngraphroot = {graph:?}\nrunroot = {runs:?}\n");
    fs::write(&storage, text).unwrap();
    let tool = |program: &OsStr| {
        let mut tool = Command::new(program);
        tool.env("CONTAINERS_STORAGE_CONF", &storage).env("BUILDAH_ISOLATION", "chroot");
        tool
    };
    let name = "localhost/watermaster-test";
    run(tool(deploy().join("container/build").as_os_str()).args([PROGRAM, name]));
    let buildah = || tool(OsStr::new("buildah"));
    let container = run(buildah().args(["from", name]));
    let container = container.trim();

    // As the image's user, which may write nothing but its data.
    let variables = ["--env=WATERMASTER_LISTEN=127.0.0.1:0", "--env=WATERMASTER_MQTT_LISTEN=127.0.0.1:0"];
    let mut serving = buildah()
        .arg("run")
        .args(variables)
        .args([container, "--", "/usr/bin/watermaster", "serve"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse::<SocketAddr>().ok());
    let ready = address.map(|address| ask_text(address, "/readyz"));
    run(Command::new("kill").args(["-TERM", &serving.id().to_string()]));
    let ended = serving.wait().unwrap();
    assert!(ready.as_deref().is_some_and(|ready| ready.contains("\"ready\":true")), "{ready:?} {ended}");
    run(buildah().args(["rm", container]));
}

/// The values that a setting has in a unit.
fn settings<'a>(unit: &'a str, name: &str) -> Vec<&'a str> {
    unit.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('=')).collect()
}

/// The unit's own command line and variables, as a user without rights, with its credentials where systemd puts them. The sandbox
/// around them is not there.
#[test]
fn the_command_of_the_unit_serves_with_its_credentials_and_ends_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let unit = fs::read_to_string(deploy().join("systemd/watermaster.service")).unwrap();
    let sample = fs::read_to_string(deploy().join("watermaster.toml")).unwrap();
    let (secret, state) = ("0123456789abcdef0123456789abcdef", file("state"));
    fs::create_dir(&state).unwrap();
    fs::create_dir(file("credentials")).unwrap();
    fs::write(file("watermaster.toml"), sample.replace("/var/lib/watermaster", state.to_str().unwrap())).unwrap();
    assert!(settings(&unit, "LoadCredential").contains(&"watermaster.admin-token"));
    fs::write(file("credentials/watermaster.admin-token"), secret).unwrap();
    run(Command::new("chown").args(["-R", "nobody"]).arg(folder.path()));

    let command = settings(&unit, "ExecStart")[0].replace("/usr/bin/watermaster", PROGRAM);
    let mut serving = Command::new("setpriv");
    serving
        .args(["--reuid=nobody", "--clear-groups", "--no-new-privs", "--bounding-set=-all"])
        .args(command.split(' '));
    let mut serving = serving
        .env_clear()
        .envs(settings(&unit, "Environment").iter().filter_map(|variable| variable.split_once('=')))
        .env("WATERMASTER_CONFIG", file("watermaster.toml"))
        .env("CREDENTIALS_DIRECTORY", file("credentials"))
        // What the file of variables may overrule: the tests do not have the usual ports to themselves.
        .envs([("WATERMASTER_LISTEN", "127.0.0.1:0"), ("WATERMASTER_MQTT_LISTEN", "127.0.0.1:0")])
        .env("WATERMASTER_AUTHENTICATION", "required")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(serving.stdout.take().unwrap()).lines().map_while(Result::ok);
    let address = lines.find_map(|line| line.split("http://").nth(1)?.split('/').next()?.parse().ok()).unwrap();
    let asked = |headers: &[(&str, &str)]| ask_with(address, "GET", "/v1/topologies", headers, None).unwrap().0;
    assert_eq!((asked(&[]), asked(&[("authorization", &format!("Bearer {secret}"))])), (401, 200));
    run(Command::new("kill").args(["-TERM", &serving.id().to_string()]));
    assert!(serving.wait().unwrap().success());
    assert!(state.join("watermaster.db").exists());
}
