// Package report turns samples into numbers to read: medians, ratios, targets met or not, as a table
// on the terminal, a page in Markdown, a page with plots and the raw rounds in JSON. It measures
// nothing.
package report
