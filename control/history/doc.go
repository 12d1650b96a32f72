// Package history is what objects were before: the last versions of each one's spec that each author has written, and the keeping of those for
// sources that keep none. It is not for what is in force, nor for going back to a version.
package history
