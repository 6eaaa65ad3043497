//! Timing, tables, SVG charts and self-contained HTML reports.
