//! Tokens of a login service that signs with keys of its own, and publishes them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use orion_server::pipeline::clock::wall;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::support::users::{SECRET, get_as, token};
use crate::support::{Native, Packet, Server, Socket, binary, soon, until};

#[path = "../keys/sign.rs"]
mod sign;

use sign::{jwk, public_pem, signed};

/// A login service that publishes its keys.
#[derive(Clone)]
struct LoginService {
    addr: SocketAddr,
    /// The status, and the key set or the address of a redirect.
    answer: Arc<Mutex<(u16, String)>>,
    asked: watch::Receiver<usize>,
}

impl LoginService {
    async fn open(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let answer = Arc::new(Mutex::new((503, String::new())));
        let (counted, asked) = watch::channel(0);
        let (answers, counted) = (answer.clone(), Arc::new(counted));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, counted, tls) = (answers.clone(), counted.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &answer, &counted).await,
                        // Who does not trust us says nothing.
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => serve(stream, &answer, &counted).await,
                            Err(_) => counted.send_modify(|count| *count += 1),
                        },
                    }
                });
            }
        });
        Self { addr, answer, asked }
    }

    fn answers(&self, status: u16, body: impl Into<String>) {
        *self.answer.lock() = (status, body.into());
    }

    fn publishes(&self, keys: &[Value]) {
        self.answers(200, json!({ "keys": keys }).to_string());
    }

    fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    async fn until_asked(&self, count: usize) {
        let mut asked = self.asked.clone();
        soon("the keys are fetched", asked.wait_for(|asked| *asked >= count)).await.unwrap();
    }

    fn url(&self) -> String {
        format!("http://{}/.well-known/jwks.json", self.addr)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<(u16, String)>,
    counted: &watch::Sender<usize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let (status, body) = answer.lock().clone();
    let location = if status == 302 { format!("Location: {body}\r\n") } else { String::new() };
    let answer =
        format!("HTTP/1.1 {status} X\r\n{location}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len());
    stream.write_all(answer.as_bytes()).await.ok();
    stream.shutdown().await.ok();
    counted.send_modify(|count| *count += 1);
}

fn user_token(algorithm: &str, id: &str, user: &str) -> String {
    let now = wall().timestamp();
    signed(algorithm, id, &json!({ "sub": user, "iat": now - 5, "exp": now + 600, "role": "authenticated" }))
}

async fn me(server: &Server, token: &str) -> (u16, String) {
    let (status, me) = get_as(server.addr, token, "/api/auth/me").await;
    let name = if status == 200 { &me["user_id"] } else { &me["code"] };
    (status, name.as_str().unwrap_or_default().to_owned())
}

fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

/// What `/ready` says of the login service's keys; empty when all is well.
async fn complaint(server: &Server) -> String {
    let (status, ready) = server.get("/ready").await;
    assert_eq!(status, 200, "it serves all the same: {ready}");
    let part = &ready["parts"]["login_keys"];
    assert_eq!(part["status"] == "ok", part["reason"].is_null(), "{ready}");
    part["reason"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_keys_are_accepted_everywhere_and_replaced() {
    let service = LoginService::open(None).await;
    service.publishes(&[jwk("ES256", "one"), jwk("RS256", "two")]);
    let url = service.url();
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_AUTH__JWKS_URL", &url)]).await;
    service.until_asked(1).await;

    // The first token may be there before the first key.
    assert_eq!(me(&server, &user_token("ES256", "one", "ana")).await, (200, "ana".into()));
    assert_eq!(me(&server, &user_token("RS256", "two", "ben")).await, (200, "ben".into()));
    assert_eq!(me(&server, &token("old")).await, (200, "old".into()), "HS256 goes on during a move");
    assert_eq!(me(&server, &user_token("RS256", "one", "ana")).await, refused(401, "token_wrong_signature"));
    let ana = user_token("ES256", "one", "ana");
    let mut native = Native::connect(server.addr, &format!("/api/ws?token={ana}")).await;
    native.frame("connection").await;
    let mut socket = Socket::with_auth(server.addr, &json!({ "token": ana })).await;
    socket.connected().await;
    let mut personal = Native::connect(server.addr, "/ws/notifications").await;
    personal.send(&json!({ "action": "ping", "token": ana })).await;
    personal.frame("pong").await;
    assert_eq!(complaint(&server).await, "");

    // A key that was put in its place is asked for as soon as somebody comes with it.
    let before = service.asked();
    service.publishes(&[jwk("EdDSA", "three")]);
    assert_eq!(me(&server, &user_token("EdDSA", "three", "ana")).await, (200, "ana".into()));
    assert_eq!(me(&server, &user_token("ES256", "one", "ana")).await, refused(401, "token_wrong_algorithm"));
    // But no more than once a minute, whatever is presented.
    for number in 0..30 {
        assert_eq!(me(&server, &user_token("EdDSA", &format!("x{number}"), "ana")).await.0, 401);
    }
    let mut socket = Socket::with_auth(server.addr, &json!({ "token": user_token("EdDSA", "y", "ana") })).await;
    let refusal = soon("refused", socket.next()).await;
    assert!(matches!(&refusal, Ok(Packet::Refused(reason)) if reason.to_string().contains("signature")), "{refusal:?}");
    assert_eq!(service.asked(), before + 1);
    assert_eq!(server.metric("orion_key_set_keys", "").await, 1.0);
    assert_eq!(server.complaints(), Vec::<String>::new());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_starts_without_its_login_service() {
    let service = LoginService::open(None).await;
    service.answers(302, "https://elsewhere.example/keys");
    let url = service.url();
    let server = Server::start(&[("ORION_JWT_SECRET", SECRET), ("ORION_AUTH__JWKS_URL", &url)]).await;
    service.until_asked(1).await;
    until("it is degraded", async || !complaint(&server).await.is_empty()).await;
    let why = complaint(&server).await;
    assert!(why.contains("auth.jwks_url") && why.contains("no redirect is followed"), "{why}");
    assert_eq!(me(&server, &token("ana")).await, (200, "ana".into()), "HS256 goes on");
    let new = user_token("RS256", "one", "ana");
    assert_eq!(me(&server, &new).await, refused(503, "token_keys_unavailable"));
    service.publishes(&[jwk("RS256", "one")]);
    // It is tried again by itself.
    until("the keys are there", async || me(&server, &new).await == (200, "ana".to_owned())).await;
    assert_eq!(complaint(&server).await, "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn published_keys_come_over_trusted_https() {
    let file = |name: &str| format!("{}/tests/keys/{name}", env!("CARGO_MANIFEST_DIR"));
    let chain = vec![CertificateDer::from_pem_file(file("localhost.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(file("localhost.private.pem")).unwrap();
    let config =
        ServerConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let service = LoginService::open(Some(Arc::new(config).into())).await;
    service.publishes(&[jwk("ES384", "one")]);
    let url = format!("https://localhost:{}/keys", service.addr.port());
    let authority = file("authority.pem");
    let start = async |trust: &str| {
        let mut env = BTreeMap::from([("ORION_SOURCES", "none"), ("ORION_INGEST_TOKEN", "integration-token")]);
        env.extend([("ORION_AUTH__JWKS_URL", url.as_str()), ("SSL_CERT_FILE", trust)]);
        Server::start_with(env).await
    };
    let trusting = start(&authority).await;
    assert_eq!(me(&trusting, &user_token("ES384", "one", "ana")).await, (200, "ana".into()));
    trusting.stop().await;
    let strange = start(&file("certificate.pem")).await;
    until("it is degraded", async || !complaint(&strange).await.is_empty()).await;
    assert_eq!(me(&strange, &user_token("ES384", "one", "ana")).await, refused(503, "token_keys_unavailable"));
    strange.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_files_and_variables_go_together() {
    let file = format!("{}/tests/keys/p256.public.pem", env!("CARGO_MANIFEST_DIR"));
    let one_line = public_pem("RS256").replace('\n', "\\n");
    let settings = [("ORION_AUTH__PUBLIC_KEY_FILE", file.as_str()), ("ORION_AUTH__PUBLIC_KEY", &one_line)];
    let server = Server::start(&settings).await;
    for algorithm in ["RS256", "PS512", "ES256"] {
        assert_eq!(me(&server, &user_token(algorithm, "any", "ana")).await, (200, "ana".into()), "{algorithm}");
    }
    for algorithm in ["ES384", "EdDSA"] {
        let (status, refused) = get_as(server.addr, &user_token(algorithm, "any", "ana"), "/api/auth/me").await;
        assert_eq!((status, &refused["code"]), (401, &json!("token_wrong_algorithm")));
        assert!(
            refused["error"]
                .as_str()
                .unwrap()
                .starts_with(&format!("The token is signed with {algorithm}; this server takes RS256,"))
        );
    }
    assert_eq!(me(&server, &token("ana")).await, refused(401, "token_wrong_algorithm"), "no secret is set");
    server.stop().await;
}

/// The exit code and what was printed.
async fn run(args: &[&str], env: &[(&str, &str)]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = binary();
    command.current_dir(folder.path()).args(args).env("PORT", "0").envs(env.iter().copied());
    let output = soon("the command", command.output()).await.unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn doctor_and_inspect_ask_the_login_service() {
    let service = LoginService::open(None).await;
    let url = service.url();
    let env = [("ORION_SOURCES", "none"), ("ORION_AUTH__JWKS_URL", url.as_str())];
    service.publishes(&[jwk("ES256", "one"), json!({ "kty": "oct" })]);
    let (code, report) = run(&["doctor"], &env).await;
    assert!(code == 0 && report.contains("ok    login keys     127.0.0.1 publishes 1 of use, for ES256"), "{report}");
    let good = user_token("ES256", "one", "ana");
    let (code, said) = run(&["token", "inspect", &good], &env).await;
    assert!(code == 0 && said.starts_with("signed with: ES256, key one\n"), "{said}");
    assert!(said.contains("\ngood: user ana, until 2"), "{said}");
    let (code, said) = run(&["token", "inspect", &user_token("RS256", "one", "ana")], &env).await;
    assert!(
        code == 1 && said.contains("signed with RS256; this server takes ES256 [token_wrong_algorithm]\nhint: "),
        "{said}"
    );

    for (status, body, what) in [
        (200, "{}", "is not a JSON Web Key Set"),
        (200, "{\"keys\":[]}", "publishes no key that can verify"),
        (302, "https://elsewhere.example", "no redirect is followed"),
        (404, "", "the answer is 404"),
    ] {
        service.answers(status, body);
        let (code, report) = run(&["doctor"], &env).await;
        assert!(code == 1 && report.contains("FAIL  login keys ") && report.contains(what), "{what}: {report}");
    }
    let (code, said) = run(&["token", "inspect", &good], &env).await;
    assert!(code == 1 && said.contains("warning: the key set") && said.contains("[token_keys_unavailable]"), "{said}");
}

#[tokio::test]
async fn implausible_keys_and_addresses_are_refused() {
    let private = format!("{}/tests/keys/p256.private.pem", env!("CARGO_MANIFEST_DIR"));
    for (setting, value, reason) in [
        ("ORION_AUTH__JWKS_URL", "http://login.example.com/keys", "must begin with https://"),
        ("ORION_AUTH__JWKS_URL", "https://user:pass@login.example.com/keys", "must not hold a user or a password"),
        ("ORION_AUTH__JWKS_URL", "login.example.com", "is not a valid address"),
        ("ORION_AUTH__PUBLIC_KEY_FILE", "/nowhere/key.pem", "cannot be read"),
        ("ORION_AUTH__PUBLIC_KEY_FILE", &private, "holds a private key"),
        ("ORION_AUTH__PUBLIC_KEY", "a secret", "holds no public key"),
        ("ORION_AUTH__ADMIN_CLAIM", "a..b", "a name is empty"),
        ("ORION_AUTH__ADMIN_CLAIM", "sub", "must not begin at a claim"),
        ("ORION_JWT_SECRET", "base64:!", "is not base64"),
    ] {
        let (code, said) = run(&["check-config"], &[(setting, value)]).await;
        assert!(code == 64 && said.contains(setting) && said.contains(reason), "{setting} {value}: {said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
