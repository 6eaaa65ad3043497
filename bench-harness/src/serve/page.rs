//! What was measured, as a page.

use super::{CONNECTIONS, Compared, Findings, GOOD, ROWS, Turn, ours};
use tilewise_report::{
    Axis, BarChart, Block, Chart, Csv, Group, LineChart, Machine, Page, Section, Series, Table, median, ratio,
};

/// Medians over turns; NaN of none.
fn over(turns: &[Turn], pick: impl Fn(&Turn) -> f64) -> f64 {
    median(&turns.iter().map(pick).collect::<Vec<_>>())
}

/// Answers in a second.
pub(super) fn rate(turns: &[Turn]) -> f64 {
    over(turns, |turn| turn.load.per_second())
}

fn within(turns: &[Turn], share: f64) -> f64 {
    over(turns, |turn| turn.load.within(share))
}

/// The median over rounds of what `pick` makes of two servers' turns in the same round.
fn paired(a: &[Turn], b: &[Turn], pick: impl Fn(&Turn, &Turn) -> f64) -> f64 {
    median(&a.iter().zip(b).map(|(a, b)| pick(a, b)).collect::<Vec<_>>())
}

fn faster(a: &[Turn], b: &[Turn]) -> f64 {
    paired(a, b, |a, b| a.load.per_second() / b.load.per_second())
}

impl Findings {
    fn ours(&self) -> &Compared {
        &self.servers[0]
    }

    fn named(&self, part: &str) -> Option<&Compared> {
        self.servers.iter().find(|server| server.name.contains(part))
    }

    /// The Python service with the most answers in a second over 32 connections.
    fn fastest(&self) -> Option<&Compared> {
        let peers = self.servers.iter().skip(1).filter(|server| server.predicts);
        peers.max_by(|a, b| rate(&a.closed[1]).total_cmp(&rate(&b.closed[1])))
    }

    /// What is asked of the server, and what was seen.
    fn figures(&self) -> Vec<(String, String)> {
        let mut figures = Vec::new();
        let [single, many] = &self.ours().closed;
        if let Some(gunicorn) = self.named("gunicorn") {
            let its = &gunicorn.closed[1];
            figures.push((ratio(faster(many, its)), "as many requests as gunicorn -w 4 + Flask".into()));
            let share = paired(its, many, |its, ours| its.load.within(0.99) / ours.load.within(0.99));
            figures.push((ratio(share), "lower p99 than gunicorn's".into()));
        }
        if let Some(fastest) = self.fastest() {
            let what = format!("as many as the fastest Python service, {}", fastest.name);
            figures.push((ratio(faster(many, &fastest.closed[1])), what));
        }
        if let Some(value) = self.named("to a Value") {
            let share = format!("{:.0} %", 100.0 * faster(many, &value.closed[1]));
            figures.push((share, "of a bare hyper that parses and predicts nothing".into()));
        }
        if let Some(echo) = self.named("echo") {
            let more =
                paired(single, &echo.closed[0], |ours, echo| ours.load.within(0.5) - echo.load.within(0.5));
            figures.push((
                format!("{:.1} us", 1e6 * more),
                "over a bare hyper echo, p50 of one connection".into(),
            ));
        }
        let rows =
            |pick: &dyn Fn(&super::Rows) -> f64| median(&self.rows.iter().map(pick).collect::<Vec<_>>());
        let share = 100.0 * rows(&|r| r.served.load.per_second() / r.one_thread);
        figures.push((
            format!("{share:.0} %"),
            format!("of one thread's speed in process, {ROWS} rows a request"),
        ));
        figures
    }

    /// Requests per second and latencies, medians over rounds; ratios to ours within each round.
    fn closed(&self, at: usize) -> Table {
        let connections = CONNECTIONS[at];
        let title = format!("One row of 28 features, connections: {connections}");
        let columns = [
            "<server",
            "requests/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "sent again",
            "CPU us",
            "ours / it",
            "its p99 / ours",
        ];
        let mut table = Table::new(&title, &columns);
        let ours = &self.ours().closed[at];
        for server in &self.servers {
            let turns = &server.closed[at];
            let ms = |share| format!("{:.3}", 1e3 * within(turns, share));
            table.push([
                server.name.to_owned(),
                format!("{:.0}", rate(turns)),
                ms(0.5),
                ms(0.99),
                ms(0.999),
                turns.iter().map(|turn| turn.load.resent).sum::<usize>().to_string(),
                format!("{:.1}", over(turns, Turn::cost)),
                format!("{:.2}", faster(ours, turns)),
                format!(
                    "{:.2}",
                    paired(turns, ours, |its, ours| its.load.within(0.99) / ours.load.within(0.99))
                ),
            ]);
        }
        table
    }

    fn large(&self) -> Table {
        let mut table = Table::new(
            format!("{ROWS} rows of 28 features as a binary tensor, 4 connections"),
            &[
                "<round",
                "server, requests/s",
                "p50 ms",
                "in process, 1 thread",
                "in process, all threads",
                "server / 1 thread",
            ],
        );
        for (number, rows) in (1..).zip(&self.rows) {
            let per_second = rows.served.load.per_second();
            table.push([
                format!("{number}"),
                format!("{per_second:.0}"),
                format!("{:.2}", 1e3 * rows.served.load.within(0.5)),
                format!("{:.0}", rows.one_thread),
                format!("{:.0}", rows.all_threads),
                format!("{:.2}", per_second / rows.one_thread),
            ]);
        }
        table
    }

    fn overload(&self) -> Table {
        let knee = self.overload.knee;
        let columns = [
            "<load, of the knee",
            "asked/s",
            "good/s",
            "good, of the knee's",
            "refused/s",
            "refusal p50 ms",
            "refusal p99 ms",
            "sent again",
            "failed",
            "p99 ms",
            "memory MB",
        ];
        let mut table = Table::new(
            format!("A model of {:?} a row; the knee is {knee:.0} requests/s", ours::SLOW),
            &columns,
        );
        let at_knee = self.at_knee();
        for (asked, turn) in &self.overload.turns {
            let (load, good) = (&turn.load, turn.load.goodput(GOOD));
            let refusal = |share| match load.refused.is_empty() {
                true => "-".to_owned(),
                false => format!("{:.2}", 1e3 * tilewise_report::quantile(&load.refused, share)),
            };
            table.push([
                format!("{:.0} %", 100.0 * asked / knee),
                format!("{asked:.0}"),
                format!("{good:.0}"),
                format!("{:.2}", good / at_knee),
                format!("{:.0}", load.refused.len() as f64 / load.seconds),
                refusal(0.5),
                refusal(0.99),
                load.resent.to_string(),
                load.failed.to_string(),
                format!("{:.1}", 1e3 * load.within(0.99)),
                format!("{:.1}", turn.memory / 1e6),
            ]);
        }
        table
    }

    /// Good answers in a second at the knee.
    fn at_knee(&self) -> f64 {
        let knee = self.overload.turns.iter().find(|(asked, _)| *asked == self.overload.knee);
        knee.map_or(f64::NAN, |(_, turn)| turn.load.goodput(GOOD))
    }

    /// The tables, in reading order.
    pub fn tables(&self) -> Vec<Table> {
        vec![self.closed(1), self.closed(0), self.open(), self.large(), self.overload()]
    }

    fn open(&self) -> Table {
        let columns = [
            "<server",
            "asked/s",
            "answered/s",
            "answered %",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "sent again",
            "failed",
        ];
        let mut table = Table::new("One row at random times, 64 connections", &columns);
        for server in &self.servers {
            for (asked, Turn { load, .. }) in &server.open {
                let ms = |share| format!("{:.3}", 1e3 * load.within(share));
                table.push([
                    server.name.to_owned(),
                    format!("{asked:.0}"),
                    format!("{:.0}", load.per_second()),
                    format!("{:.1}", 100.0 * load.answered.len() as f64 / load.asked as f64),
                    ms(0.5),
                    ms(0.99),
                    ms(0.999),
                    load.resent.to_string(),
                    load.failed.to_string(),
                ]);
            }
        }
        table
    }

    /// Every turn.
    pub fn csv(&self) -> Csv {
        let columns = [
            "server", "load", "asked", "answered", "refused", "resent", "failed", "p50", "p99", "p999",
            "cpu", "memory",
        ];
        let mut csv = Csv::new(&columns);
        let mut push = |server: &str, kind: &str, asked: f64, turn: &Turn| {
            let load = &turn.load;
            let numbers = [
                asked,
                load.per_second(),
                load.refused.len() as f64 / load.seconds,
                load.resent as f64,
                load.failed as f64,
                load.within(0.5),
                load.within(0.99),
                load.within(0.999),
                turn.cpu,
                turn.memory,
            ];
            let numbers = numbers.iter().map(|x| format!("{x:.6}"));
            let cells: Vec<String> =
                [server.to_owned(), kind.to_owned()].into_iter().chain(numbers).collect();
            csv.push(&cells);
        };
        for server in &self.servers {
            for (connections, turns) in CONNECTIONS.iter().zip(&server.closed) {
                turns
                    .iter()
                    .for_each(|turn| push(server.name, &format!("closed {connections}"), f64::NAN, turn));
            }
            server.open.iter().for_each(|(asked, turn)| push(server.name, "open", *asked, turn));
        }
        self.overload.turns.iter().for_each(|(asked, turn)| push("slow model", "overload", *asked, turn));
        csv
    }

    fn bars(&self) -> Chart {
        let bar = |server: &Compared| Group {
            name: server.name.into(),
            bars: vec![(String::new(), rate(&server.closed[1]))],
        };
        Chart::Bar(BarChart {
            title: "Requests per second, 32 connections".into(),
            axis: Axis::linear("requests/s"),
            groups: self.servers.iter().map(bar).collect(),
            reference: None,
        })
    }

    fn latencies(&self) -> Chart {
        let line = |server: &Compared| Series {
            name: server.name.into(),
            points: server.open.iter().map(|(asked, turn)| (*asked, 1e3 * turn.load.within(0.99))).collect(),
        };
        Chart::Line(LineChart {
            title: "Latency against load: 99 % within".into(),
            x: Axis::log("requests/s, at random times"),
            y: Axis::log("ms since the intended time"),
            series: self.servers.iter().filter(|server| server.predicts).map(line).collect(),
            ..LineChart::default()
        })
    }

    fn beyond(&self) -> Vec<Chart> {
        let series = |name: &str, pick: &dyn Fn(&Turn) -> f64| Series {
            name: name.into(),
            points: self.overload.turns.iter().map(|(asked, turn)| (*asked, pick(turn))).collect(),
        };
        let asked = Series {
            name: "asked for".into(),
            points: self.overload.turns.iter().map(|(asked, _)| (*asked, *asked)).collect(),
        };
        let chart = |title: &str, y, series, reference| {
            Chart::Line(LineChart {
                title: title.into(),
                x: Axis::linear("requests/s asked for"),
                y: Axis::linear(y),
                series,
                reference,
                from_zero: true,
                ..LineChart::default()
            })
        };
        let refused = |turn: &Turn| turn.load.refused.len() as f64 / turn.load.seconds;
        vec![
            chart(
                "Overload: what is answered within 100 ms",
                "requests/s",
                vec![
                    series("answered in time", &|turn| turn.load.goodput(GOOD)),
                    series("refused", &refused),
                ],
                Some(asked),
            ),
            chart(
                "Overload: 99 % within",
                "ms",
                vec![
                    series("answers", &|turn| 1e3 * turn.load.within(0.99)),
                    series("refusals", &|turn| match turn.load.refused.is_empty() {
                        true => f64::NAN,
                        false => 1e3 * tilewise_report::quantile(&turn.load.refused, 0.99),
                    }),
                ],
                None,
            ),
        ]
    }

    /// How it was measured, and in whose favour.
    fn method() -> Section {
        let prose = |text: &str| Block::Prose(text.into());
        Section::new("Method and its biases")
            .with(prose(
                "All services hold the same LightGBM model (100 trees of 31 leaves, 28 features); whoever predicts gave the \
                 model's answer within 1e-12 (ONNX Runtime, which holds it in 32 bits: 1e-4) before anything was timed. Every \
                 service has one thread per process for LightGBM. Access logs are off.",
            ))
            .with(prose(
                "The load generator is ours: one thread on one epoll instance, on the same machine. On two cores it has one \
                 of them while it runs, so that services of two or four processes share the other; it costs 3 to 4 \
                 microseconds a request, which weighs most on the fastest. `CPU us` is what the processes of the service used \
                 per request, the system's part included, whoever was waiting. Servers other than the one measured are \
                 stopped. Closed loop: a connection sends its next request when its reply has come. Open loop: times are \
                 drawn from a Poisson process, and a latency counts from the intended time. A request whose kept connection \
                 the server closes is sent again, counts from its first sending, and is told as `sent again`.",
            ))
            .with(prose(
                "Loopback hides what networks cost. Our server has one worker, the bare hyper one thread. Python services \
                 have as many processes as the names say; `gunicorn` opens a connection per request, as its default worker \
                 does.",
            ))
    }
}

/// The page.
pub fn page(findings: &Findings, machine: Machine) -> Page {
    let section = |heading: &str, tables: Vec<Table>, charts: Vec<Chart>| {
        let section = Section::new(heading).with(Block::Charts(charts));
        tables.into_iter().fold(section, |section, table| section.with(Block::Table(table)))
    };
    let mut first = Section::new("In short").with(Block::Figures(findings.figures()));
    for what in &findings.missing {
        first = first.with(Block::Note(format!("Left out: {what}")));
    }
    Page {
        title: "The server beside others".into(),
        summary: "One row at a time, rows by the thousand, random arrivals and overload, with the same model everywhere.".into(),
        machine: Some(machine),
        sections: vec![
            first,
            section("Closed loop", vec![findings.closed(1), findings.closed(0)], vec![findings.bars()]),
            section("Open loop", vec![findings.open()], vec![findings.latencies()]),
            section("Large requests", vec![findings.large()], Vec::new()),
            section("Overload", vec![findings.overload()], findings.beyond()),
            Findings::method(),
        ],
    }
}
