//! The table that users of statsmodels know.

use super::{Errors, Inference};
use std::fmt::Write as _;

/// Columns of the table.
const WIDTH: usize = 78;

/// Characters of a name.
const NAME: usize = 14;

impl Inference {
    /// The table: how well the model fits, then a line for each coefficient. `names` are those of the features.
    pub fn table(&self, title: &str, names: &[String]) -> String {
        let errors = match self.errors {
            Errors::Classical => "classical",
            Errors::Hc0 => "HC0",
            Errors::Hc1 => "HC1",
            Errors::Hc2 => "HC2",
            Errors::Hc3 => "HC3",
        };
        let features = self.parameters - usize::from(self.intercept);
        let mut facts = vec![
            ("No. Observations:", short(self.rows)),
            ("Df Residuals:", short(self.residual_df())),
            ("Df Model:", features.to_string()),
            ("Covariance Type:", errors.into()),
            ("Scale:", short(self.scale)),
        ];
        let measures = [
            ("R-squared:", self.r_squared, 3),
            ("Adj. R-squared:", self.adjusted_r_squared, 3),
            ("F-statistic:", self.f_statistic, 0),
            ("Prob (F-statistic):", self.f_p_value, 0),
            ("Log-Likelihood:", self.log_likelihood, 0),
            ("AIC:", self.aic(), 0),
            ("BIC:", self.bic(), 0),
            ("Deviance:", self.deviance, 0),
            ("Pearson chi2:", self.pearson, 0),
        ];
        for (name, value, digits) in measures.into_iter().filter(|(_, value, _)| !value.is_nan()) {
            facts.push((name, if digits > 0 { format!("{value:.digits$}") } else { short(value) }));
        }
        let mut text = format!("{}\n{}\n", format!("{title:^WIDTH$}").trim_end(), "=".repeat(WIDTH));
        text += &in_two_columns(&facts);
        let (statistic, p) = if self.student { ("t", "P>|t|") } else { ("z", "P>|z|") };
        let longest = names.iter().map(|n| n.chars().count()).max().unwrap_or(0).clamp(NAME, 40);
        let line = "=".repeat(WIDTH - NAME + longest);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{line}\n{:longest$}{:>12}{:>11}{statistic:>10}{p:>9}{:>11}{:>11}\n{}",
            "",
            "coef",
            "std err",
            "[0.025",
            "0.975]",
            line.replace('=', "-")
        );
        let intercept = self.intercept.then(|| "intercept".to_owned());
        for (name, c) in intercept.iter().chain(names).zip(&self.coefficients) {
            let name: String = name.chars().take(longest).collect();
            let _ = writeln!(
                text,
                "{name:longest$}{:>12}{:>11}{:>10}{:>9}{:>11}{:>11}",
                short(c.estimate),
                short(c.standard_error),
                format!("{:.3}", c.statistic),
                format!("{:.3}", c.p_value),
                short(c.lower),
                short(c.upper)
            );
        }
        text += &format!("{line}\n");
        if let Some(residuals) = &self.residuals {
            let of_residuals = [
                ("Omnibus:", residuals.omnibus, 3),
                ("Prob(Omnibus):", residuals.omnibus_p_value, 3),
                ("Skew:", residuals.skewness, 3),
                ("Kurtosis:", residuals.kurtosis, 3),
                ("Durbin-Watson:", residuals.durbin_watson, 3),
                ("Jarque-Bera (JB):", residuals.jarque_bera, 3),
                ("Prob(JB):", residuals.jarque_bera_p_value, 0),
            ];
            let facts: Vec<(&str, String)> = of_residuals
                .into_iter()
                .map(|(name, value, digits)| {
                    (name, if digits > 0 { format!("{value:.digits$}") } else { short(value) })
                })
                .collect();
            text += &format!("{}{}\n", in_two_columns(&facts), "=".repeat(WIDTH));
        }
        text
    }
}

/// The first half of the facts on the left, the others beside them.
fn in_two_columns(facts: &[(&str, String)]) -> String {
    let half = facts.len().div_ceil(2);
    let (gap, side) = (2, WIDTH / 2 - 1);
    let fact = |(name, value): &(&str, String)| format!("{name}{value:>width$}", width = side - name.len());
    let line = |i: usize| {
        let right = facts.get(half + i).map(fact).unwrap_or_default();
        format!("{}{:gap$}{right}", fact(&facts[i]), "").trim_end().to_owned() + "\n"
    };
    (0..half).map(line).collect()
}

/// About five digits in ten characters.
fn short(x: f64) -> String {
    let size = x.abs();
    if x.fract() == 0.0 && size < 1e9 {
        format!("{x:.0}")
    } else if !(1e-3..1e6).contains(&size) {
        format!("{x:.3e}")
    } else {
        let before = if size < 1.0 { 0 } else { size.log10() as usize };
        format!("{x:.*}", 4usize.saturating_sub(before).max(1))
    }
}
