-- Replays read the events of a span of time.
CREATE INDEX signal_events_by_time ON signal_events (at);
