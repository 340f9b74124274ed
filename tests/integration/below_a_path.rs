//! The server below a path of a proxy: the `location` that the documents give, in a real nginx; and which paths may be taken.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use futures_util::StreamExt;
use orion_server::config::BasePath;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Server, signal, soon, until};

/// The block of the documents that begins so, with the server's own address in it.
fn documented_location(server: &Server, removes: bool) -> String {
    let docs = include_str!("../../docs/deploy.md");
    let (_, rest) = docs.split_once("```nginx\nlocation /orion/ {").expect("docs/deploy.md has the block");
    let (block, _) = rest.split_once("```").unwrap();
    let block = if removes { block.replacen(":8080;", ":8080/;", 1) } else { block.to_owned() };
    format!("location /orion/ {{{block}").replace("127.0.0.1:8080", &server.addr.to_string())
}

struct Nginx {
    port: u16,
    _process: Child,
    _dir: tempfile::TempDir,
}

impl Nginx {
    /// `None` when it is not installed.
    async fn start(location: &str) -> Option<Self> {
        let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"].map(PathBuf::from);
        let program = program.into_iter().find(|program| program.exists())?;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let dir = tempfile::tempdir().unwrap();
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("{kind}_temp_path {}/{kind};\n", dir.path().display()))
            .concat();
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        let config = format!(
            "{user} daemon off; master_process off; pid {dir}/pid; error_log stderr;\nevents {{}}\nhttp {{ access_log off;\n{temporary}\
             map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}\n\
             server {{ listen 127.0.0.1:{port};\n{location} }} }}\n",
            dir = dir.path().display(),
        );
        let file = dir.path().join("nginx.conf");
        std::fs::write(&file, config).unwrap();
        let mut command = Command::new(program);
        command.arg("-p").arg(dir.path()).arg("-c").arg(&file).kill_on_drop(true);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let nginx = Self { port, _process: process, _dir: dir };
        until("nginx listens", async || tokio::net::TcpStream::connect(("127.0.0.1", nginx.port)).await.is_ok()).await;
        Some(nginx)
    }
}

/// Case 59.
#[tokio::test]
async fn everything_works_below_a_path_of_nginx() {
    // Either side may take the path off; with the setting, both may.
    for (setting, removes) in [("/orion", false), ("/orion", true), ("", true)] {
        works_below_a_path(setting, removes).await;
    }
}

async fn works_below_a_path(setting: &str, removes: bool) {
    let server = Server::start(&[("ORION_SOURCES", "none"), ("ORION_BASE_PATH", setting)]).await;
    let Some(nginx) = Nginx::start(&documented_location(&server, removes)).await else {
        return eprintln!("skipped: nginx is not installed (on Debian and Ubuntu: apt-get install nginx-light)");
    };
    server.push(&signal("one")).await;
    let url = |path: &str| format!("http://127.0.0.1:{}/orion{path}", nginx.port);
    for (path, expected) in [
        ("/", "orion"),
        ("/health", "\"OK\""),
        ("/api/signals", "\"one\""),
        ("/socket.io/?EIO=4&transport=polling", "\"sid\""),
    ] {
        let answer = server.http.get(url(path)).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        let body = answer.text().await.unwrap();
        assert!(body.to_lowercase().contains(&expected.to_lowercase()), "{path}: {body}");
    }
    for path in ["/ws/signals", "/socket.io/?EIO=4&transport=websocket"] {
        let (mut socket, _) = tokio_tungstenite::connect_async(url(path).replace("http", "ws")).await.unwrap();
        let first = soon("the first message", async {
            loop {
                match socket.next().await.unwrap().unwrap() {
                    Message::Ping(_) => {}
                    message => break message,
                }
            }
        })
        .await;
        assert!(first.is_text(), "{path}: {first:?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn no_base_path_hides_a_route() {
    let server = Server::push_only().await;
    let mut first = BTreeSet::from(["socket.io".to_owned(), "docs".to_owned(), "openapi.json".to_owned()]);
    let routes: Value = server.http.get(server.url("/openapi.json")).send().await.unwrap().json().await.unwrap();
    let streams: Value = server.http.get(server.url("/asyncapi.json")).send().await.unwrap().json().await.unwrap();
    let paths = routes["paths"].as_object().unwrap().keys().map(String::as_str);
    let addresses = streams["channels"].as_object().unwrap().values().filter_map(|channel| channel["address"].as_str());
    first.extend(paths.chain(addresses).filter_map(|path| path.split(['/', '?']).nth(1)).map(str::to_owned));
    first.remove("");
    assert!(first.len() > 8, "{first:?}");
    for segment in first {
        BasePath::try_from(format!("/{segment}")).expect_err("a base path that hides a route");
    }
    server.stop().await;
}

#[tokio::test]
async fn the_base_path_is_named_and_answered() {
    let server = Server::start(&[("ORION_SOURCES", "none"), ("ORION_BASE_PATH", "/orion")]).await;
    let get = async |path: &str| server.http.get(server.url(path)).send().await.unwrap();
    for prefix in ["", "/orion"] {
        assert_eq!(get(&format!("{prefix}/ready")).await.status(), 200, "{prefix}");
        let api: Value = get(&format!("{prefix}/openapi.json")).await.json().await.unwrap();
        assert_eq!(api["servers"][0]["url"], "/orion");
        let streams: Value = get(&format!("{prefix}/asyncapi.json")).await.json().await.unwrap();
        assert_eq!(streams["servers"]["native"]["pathname"], "/orion/");
    }
    assert_eq!(get("/orion").await.url().path(), "/orion/");
    assert_eq!(get("/other/ready").await.status(), 404);
    server.stop().await;
}
