// Package push brings changes of the mesh to the proxies that they concern: it holds the mesh, finds out whose view is another one and shows it. What
// views are made of is for control/translate, and how a proxy is told for xds/server.
package push
