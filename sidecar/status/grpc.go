package status

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// The one call of gRPC that is made here is small enough to be written by hand: a service's health (grpc.health.v1), over HTTP/2 without TLS, as kubelets ask for it. The peer is the
// application of the pod, and each call has a connection of its own and a time.

// maxHealth bounds the answer to it, in bytes. It has two.
const maxHealth = 1 << 10

// checkGRPC asks for the health of a service; empty: of the server.
func checkGRPC(ctx context.Context, client *http.Client, at, service, agent string) error {
	message := []byte{0, 0, 0, 0, 0}
	if service != "" {
		message = append(binary.AppendUvarint(append(message, 1<<3|2), uint64(len(service))), service...)
	}
	binary.BigEndian.PutUint32(message[1:], uint32(len(message)-5))
	ask, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+at+"/grpc.health.v1.Health/Check", bytes.NewReader(message))
	if err != nil {
		return err
	}
	ask.Header.Set("Content-Type", "application/grpc")
	ask.Header.Set("Te", "trailers")
	if agent != "" {
		ask.Header.Set("User-Agent", agent)
	}
	response, err := client.Do(ask)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("want a gRPC server: it answers with status %d", response.StatusCode)
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxHealth))
	if err != nil {
		return err
	}
	code := response.Trailer.Get("Grpc-Status")
	if code == "" {
		code = response.Header.Get("Grpc-Status") // an answer without a message
	}
	switch code {
	case "0":
	case "12":
		return errors.New("the server does not say how it does: want grpc.health.v1.Health there")
	case "5":
		return fmt.Errorf("the server has no service %q", service)
	default:
		return fmt.Errorf("the call has ended with status %.20q of gRPC", code)
	}
	if len(answer) < 5 || answer[0] != 0 || int(binary.BigEndian.Uint32(answer[1:])) != len(answer)-5 {
		return errors.New("the answer is no message of gRPC")
	}
	if serving := []byte{1 << 3, 1}; !bytes.Equal(answer[5:], serving) {
		return errors.New("the service says that it does not serve")
	}
	return nil
}
