// Owns the part of Tailscale's public API that turns an OAuth client's secret
// into an auth key: the token endpoint, and the making of keys.
//
// In: HTTP on the control server's address, where a client finds it by the
// attribute baseURL of its secret. Out: auth keys of the tailnet. It must not
// know who uses them.
package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"tailscale.com/util/rands"
)

// OAuthClient may make auth keys for nodes with its tags.
type OAuthClient struct {
	Tags  []string `json:"tags"`
	Down  bool     `json:"down,omitempty"` // its token endpoint does not work
	token string   // handed out last
}

// newKey is a request for an auth key, as the public API takes it.
type newKey struct {
	Capabilities struct {
		Devices struct {
			Create struct {
				Reusable, Ephemeral, Preauthorized bool
				Tags                               []string
			}
		}
	}
}

// oauth answers the calls of that API.
func oauth(t *Tailnet, mux *http.ServeMux) {
	refuse := func(w http.ResponseWriter, status int, text string) {
		writeJSON(w, status, map[string]string{"message": text})
	}
	mux.HandleFunc("POST /api/v2/oauth/token", func(w http.ResponseWriter, r *http.Request) {
		_, secret, ok := r.BasicAuth()
		if !ok {
			secret = r.FormValue("client_secret")
		}
		token := ""
		down := false
		t.Update(func() error {
			client, known := t.oauth[secret]
			if known && !client.Down {
				client.token = rands.HexString(24)
				token = client.token
				t.oauth[secret] = client
			}
			down = client.Down
			return nil
		})
		switch {
		case down:
			refuse(w, http.StatusServiceUnavailable, "the API is down")
		case token == "":
			refuse(w, http.StatusUnauthorized, "API token invalid")
		default:
			writeJSON(w, http.StatusOK, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600})
		}
	})
	mux.HandleFunc("POST /api/v2/tailnet/-/keys", func(w http.ResponseWriter, r *http.Request) {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		var in newKey
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		want := in.Capabilities.Devices.Create
		key := "tskey-auth-made-" + rands.HexString(12)
		status, text := http.StatusForbidden, "calling actor does not have enough permissions to perform this function"
		t.Update(func() error {
			for _, client := range t.oauth {
				if token == "" || client.token != token {
					continue
				}
				for _, tag := range want.Tags {
					if !slices.Contains(client.Tags, tag) {
						status, text = http.StatusBadRequest, "requested tags ["+strings.Join(want.Tags, " ")+"] are invalid or not permitted"
						return nil
					}
				}
				t.keys[key] = AuthKey{
					Identity: Identity{Tags: want.Tags}, Once: !want.Reusable, Ephemeral: want.Ephemeral, Preauthorized: want.Preauthorized,
				}
				status = http.StatusOK
			}
			return nil
		})
		if status != http.StatusOK {
			refuse(w, status, text)
			return
		}
		writeJSON(w, http.StatusOK, map[string]string{"id": "k1", "key": key})
	})
}
