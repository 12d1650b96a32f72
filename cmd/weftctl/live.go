package main

import (
	"context"
	"fmt"

	"github.com/weftmesh/weft/control/push"
)

// liveCommand is what analyze is with --live.
func liveCommand() *planeCommand {
	return &planeCommand{name: "analyze", text: analyzeHelp, most: 0, formats: tables, flags: onlyServer, run: planeAnalyze, remote: true}
}

// planeAnalyze shows what weftd says of the objects that it has.
func planeAnalyze(ctx context.Context, p *pages, o *planeOptions, s streams) error {
	const path = "/api/status"
	b, err := p.get(ctx, path)
	if err != nil {
		return err
	}
	var all push.Status
	if err := p.understand(b, path, &all); err != nil {
		return err
	}
	f := &findings{Problems: []finding{}}
	for _, n := range all.Objects {
		f.Objects += n
	}
	for _, problem := range all.Problems {
		f.Problems = append(f.Problems, finding{File: problem.Source, Warning: problem.Warning, Text: problem.Text}) // which says where, and of what
	}
	if err := f.print(o.format, s.out); err != nil {
		return err
	}
	if n := f.wrong(); n > 0 {
		return fmt.Errorf("%d objects are wrong, and not served as they are written", n)
	}
	return nil
}
