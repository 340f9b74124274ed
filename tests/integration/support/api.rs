//! Requests to a server.

use serde_json::Value;
use tokio::time::{Duration, Instant};

use super::{PATIENCE, Server, TOKEN};

impl Server {
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }

    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        answer(self.http.get(self.url(path))).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        answer(self.http.post(self.url(path)).bearer_auth(TOKEN).json(body)).await
    }

    /// Pushes a signal that has to be taken.
    pub(crate) async fn push(&self, body: &Value) {
        let (status, answer) = self.post("/api/signals", body).await;
        assert_eq!(status, 200, "{answer}");
    }

    pub(crate) async fn patch(&self, id: &str, body: &Value) -> (u16, Value) {
        answer(self.http.patch(self.url(&format!("/api/signals/{id}"))).bearer_auth(TOKEN).json(body)).await
    }

    /// Where the log stands.
    pub(crate) async fn cursor(&self) -> Value {
        self.get("/api/signals?limit=1").await.1["cursor"].take()
    }

    /// The states of a signal, the first one first.
    pub(crate) async fn history(&self, id: &str) -> Vec<Value> {
        let (_, life) = self.get(&format!("/api/signals/{id}")).await;
        life["history"].as_array().cloned().unwrap_or_default()
    }

    /// Sum of all series of a metric whose labels contain `labels`.
    pub(crate) async fn metric(&self, name: &str, labels: &str) -> f64 {
        let mut request = self.http.get(self.url("/metrics"));
        if let Some(token) = &self.read_token {
            request = request.bearer_auth(token);
        }
        let text = request.send().await.unwrap().text().await.unwrap();
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])) && line.contains(labels)
        });
        series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until a metric says so. There is no event across the border of a process: it is asked again and again.
    pub(crate) async fn until(&self, name: &str, labels: &str, holds: impl Fn(f64) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.metric(name, labels).await;
            if holds(value) {
                return;
            }
            assert!(Instant::now() < deadline, "in vain: {name} of '{labels}' is {value}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub(crate) async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}
