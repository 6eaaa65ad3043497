//! Parallel schemes side by side, as they are what people come to compare.

use crate::case::shape_text;
use crate::cases::AUTO;
use crate::scale::{Scaled, Scaling};
use tilewise_report::{Axis, BarChart, Block, Chart, Group, Section, Table, median, ratio, seconds};

/// Nothing where no case with schemes was timed on several threads.
pub(super) fn section(scaling: &Scaling) -> Section {
    let section = Section::new("Parallel schemes side by side");
    let Some((last, &threads)) = scaling.threads.iter().enumerate().next_back().filter(|(i, _)| *i > 0)
    else {
        return section;
    };
    let section = growing(scaling, last, threads, descent(scaling, last, threads, section));
    networks(scaling, last, threads, section)
}

/// The cases whose name begins so.
fn named<'a>(scaling: &'a Scaling, name: &'static str) -> impl Iterator<Item = &'a Scaled> {
    scaling.scaled.iter().filter(move |scaled| scaled.title.starts_with(name))
}

fn descent(scaling: &Scaling, last: usize, threads: usize, section: Section) -> Section {
    let descents: Vec<&Scaled> = named(scaling, "descent ").collect();
    let mut groups: Vec<Group> = Vec::new();
    for scaled in &descents {
        let name = shape_text(&scaled.shape);
        let bar = (scaled.title.clone(), scaled.speed_up(last));
        match groups.iter_mut().find(|group| group.name == name) {
            Some(group) => group.bars.push(bar),
            None => groups.push(Group { name, bars: vec![bar] }),
        }
    }
    if groups.is_empty() {
        return section;
    }
    let title = format!("Gradient descent on {threads} threads, each scheme over itself on one");
    let roofs = descents.iter().map(|scaled| (&scaled.roofs[0].read, &scaled.roofs[last].read));
    let read = roofs.flat_map(|(one, all)| all.iter().zip(one).map(|(all, one)| all / one));
    let read = median(&read.collect::<Vec<_>>());
    let text = format!(
        "Gradient descent cut by rows, by components of the weights, and as `auto` chooses. It reads all features \
         in every round, so a stream of reads, {} as fast on {} threads as on one here, bounds its speed-up on \
         features that exceed the caches (dashed).",
        ratio(read),
        threads
    );
    let axis = Axis::linear("speed-up [x]");
    let chart = Chart::Bar(BarChart { title, axis, groups, reference: Some(read) });
    section.with(Block::Prose(text)).with(Block::Charts(vec![chart]))
}

/// A case of trees on a shape, with both schemes.
struct Pair<'a> {
    name: String,
    tasks: &'a Scaled,
    rows: &'a Scaled,
}

fn pairs(scaling: &Scaling) -> Vec<Pair<'_>> {
    let of = |kind: &'static str| {
        let names = if kind == "tree" {
            ["grow tree tasks", "grow tree rows"]
        } else {
            ["grow forest tasks", "grow forest rows"]
        };
        let [tasks, rows] = names.map(|name| named(scaling, name).collect::<Vec<_>>());
        tasks.into_iter().filter_map(move |tasks| {
            let rows = *rows.iter().find(|rows| rows.shape == tasks.shape)?;
            Some(Pair { name: format!("{kind} {}", shape_text(&tasks.shape)), tasks, rows })
        })
    };
    of("tree").chain(of("forest")).collect()
}

fn growing(scaling: &Scaling, last: usize, threads: usize, section: Section) -> Section {
    let pairs = pairs(scaling);
    if pairs.is_empty() {
        return section;
    }
    let columns =
        ["<shape", "tasks", "speed-up", "rows", "speed-up", "auto, speed-up", "tasks / auto", "rows / auto"];
    let title = format!("Trees and forests on {threads} threads by scheme");
    let mut table = Table::new(title, &columns);
    let mut groups = Vec::new();
    for Pair { name, tasks, rows } in pairs {
        // Beside both: what it did in the rounds of either.
        let auto = [tasks, rows].iter().filter_map(|scaled| scaled.speed_up_beside(last)).collect::<Vec<_>>();
        let over_auto = |scaled: &Scaled| scaled.over_beside(last).unwrap_or(f64::NAN);
        table.push([
            name.clone(),
            seconds(tasks.seconds(last)),
            ratio(tasks.speed_up(last)),
            seconds(rows.seconds(last)),
            ratio(rows.speed_up(last)),
            ratio(median(&auto)),
            ratio(over_auto(tasks)),
            ratio(over_auto(rows)),
        ]);
        let bar = |name: &str, value: f64| (name.to_string(), value);
        let bars =
            [bar("tasks", tasks.speed_up(last)), bar("rows", rows.speed_up(last)), bar(AUTO, median(&auto))];
        groups.push(Group { name, bars: bars.into() });
    }
    let text = "A tree of depth 12 and 20 full trees, told to divide the work by tasks (trees, nodes, features) or by rows, and as `auto` \
         chooses, from numbers to the model. Speed-ups are over the same scheme on one thread; the last two columns are times of a \
         scheme over those of `auto` in the same rounds: below 1 the scheme was faster than what `auto` chose.";
    let title = format!("Growing on {threads} threads, each scheme over itself on one");
    let axis = Axis::linear("speed-up [x]");
    let chart = Chart::Bar(BarChart { title, axis, groups, reference: Some(threads as f64) });
    section.with(Block::Prose(text.into())).with(Block::Charts(vec![chart])).with(Block::Table(table))
}

/// Training steps whose weights are finished beside the gradients of the layers before, and layer after layer.
fn networks(scaling: &Scaling, last: usize, threads: usize, section: Section) -> Section {
    let columns =
        ["<rows x batch", "layer after layer", "speed-up", "beside each other", "speed-up", "times as fast"];
    let title = format!("An epoch of a network on {threads} threads by scheme");
    let mut table = Table::new(title, &columns);
    for scaled in named(scaling, "train network") {
        let Some(rows) = scaled.beside.get(last) else { continue };
        table.push([
            shape_text(&scaled.shape),
            seconds(rows.median()),
            scaled.speed_up_beside(last).map_or("-".into(), ratio),
            seconds(scaled.seconds(last)),
            ratio(scaled.speed_up(last)),
            scaled.over_beside(last).map_or("-".into(), |x| ratio(1.0 / x)),
        ]);
    }
    if table.rows().is_empty() {
        return section;
    }
    let text = "Products of a step divide rows and tiles among all threads in either scheme; beside each other, the gradient, the update \
         and the repacking of a layer's weights also run while gradients go on to the layers before.";
    section.with(Block::Prose(text.into())).with(Block::Table(table))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scale::{Options, scale};

    #[test]
    fn every_shape_has_a_bar_for_each_scheme() {
        let cases = crate::cases::matching(&["grow tree"]);
        let scaling = |threads| {
            let options = Options { threads, ..Options::quick() };
            scale(&cases, &options, |_| (), |_| Ok(())).unwrap()
        };
        let section = section(&scaling(vec![1, 2]));
        let charts = section.blocks.iter().filter_map(|block| match block {
            Block::Charts(charts) => Some(charts),
            _ => None,
        });
        let Some(Chart::Bar(chart)) = charts.flatten().next() else { panic!("a chart of bars") };
        let [group] = &chart.groups[..] else { panic!("one shape, got {:?}", chart.groups) };
        assert_eq!(group.name, "tree 2000 x 10");
        assert_eq!(group.bars.iter().map(|bar| &bar.0[..]).collect::<Vec<_>>(), ["tasks", "rows", "auto"]);
        assert!(group.bars.iter().all(|bar| bar.1 > 0.0));
        assert!(super::section(&scaling(vec![1])).blocks.is_empty());
    }
}
