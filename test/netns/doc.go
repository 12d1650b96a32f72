// Package netns tests what only a kernel that redirects can show, in a network namespace of its own. It is not for what a plain socket
// shows as well: that is test/e2e.
package netns
