"""Headers beside the dialects that some proxy sets and some application believes: who calls, and what for.

Names are as their documentation spells them. Not here: names by which callers log in themselves, such as
X-Auth-Token, X-Auth-Email and X-Access-Token.
"""

from __future__ import annotations

OTHER_IDENTITY_HEADERS: tuple[str, ...] = (
    "X-Forwarded-Tls-Client-Cert-Infos",
    "X-Client-Verified",
    "X-SSL-Client-Verified",
    "X-TLS-Client-Cert",
    "X-SSL-Cert-Chain",
    "X-Client-Cert-Subject",
    "X-Client-Cert-Issuer",
    "X-Client-Cert-Fingerprint",
    "X-Client-Cert-DN",
    "X-Client-Cert-Verified",
    "Remote-User",
    "X-Remote-User",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Original-Client-Cert",
    # Apache's and Tomcat's (SSLValve) names, as CGI spells them
    "SSL-Client-Escaped-Cert",
    "SSL-Client-I-DN",
    "SSL-Client-S-DN",
    "SSL-Client-S-DN-CN",
    "SSL-Client-M-Serial",
    "SSL-Client-Serial",
    "SSL-Client-Fingerprint",
    "SSL-Client-V-End",
    "SSL-Client-V-Start",
    "WL-Proxy-Client-Cert",  # WebLogic
    "X-SPIFFE-ID",
    "X-Forwarded-mTLS-Client-Cert",  # Airlock
    "Cf-Client-Cert-Der-Base64",  # Cloudflare
    "CloudFront-Viewer-Cert-Serial-Number",
    "CloudFront-Viewer-Cert-Issuer",
    "CloudFront-Viewer-Cert-Subject",
    "CloudFront-Viewer-Cert-Present",
    "CloudFront-Viewer-Cert-Sha256",
    "CloudFront-Viewer-Cert-Validity",
    "CloudFront-Viewer-Cert-Pem",
    "X-Client-Cert-Leaf",  # usual names of Google Cloud's custom headers
    "X-Client-Cert-Chain",
    "X-Client-Cert-Present",
    "X-Client-Cert-Chain-Verified",
    "X-Client-Cert-Error",
    "X-Client-Cert-Hash",
    "X-Client-Cert-Serial-Number",
    "X-Client-Cert-SPIFFE",
    "X-Client-Cert-URI-SANs",
    "X-Client-Cert-DNSName-SANs",
    "X-Client-Cert-Valid-Not-Before",
    "X-Client-Cert-Valid-Not-After",
    "X-Client-Cert-Issuer-DN",
    "X-Client-Cert-Subject-DN",
    "l5d-client-id",  # Linkerd
    # Users and groups, as a proxy that authenticates them is to pass them on
    "X-Remote-Group",  # Kubernetes, authenticating proxy
    "X-Remote-Uid",
    "X-WEBAUTH-USER",  # Grafana and Gitea, authentication by proxy
    "X-WEBAUTH-NAME",
    "X-WEBAUTH-FULLNAME",
    "X-WEBAUTH-EMAIL",
    "X-WEBAUTH-GROUPS",
    "X-WEBAUTH-ROLE",
    "X-Authenticated-User",  # Blue Coat, Websense; Etherpad's ep_headerauth
    "X-Authenticated-Userid",  # Kong, OAuth 2.0
    "X-Authenticated-Scope",
    "X-Authenticated-Groups",  # Kong, LDAP
    "X-Consumer-Username",  # Kong
    "X-Consumer-ID",
    "X-Consumer-Custom-ID",
    "X-Consumer-Groups",
    "X-Credential-Identifier",
    "X-Anonymous-Consumer",
    "X-Amzn-Oidc-Identity",  # AWS ALB
    "X-Amzn-Oidc-Accesstoken",
    "X-Amzn-Oidc-Data",
    "X-User",  # Ory Oathkeeper's mutator, CloudBeaver
    "X-Auth-Request-Groups",  # oauth2-proxy
    "X-Auth-Request-Preferred-Username",
    "X-Auth-Request-Access-Token",
    "Remote-Groups",  # Authelia
    "Remote-Name",
    "Remote-Email",
    "X-Goog-Authenticated-User-Email",  # Google's Identity-Aware Proxy
    "X-Goog-Authenticated-User-ID",
    "X-MS-Client-Principal",  # Azure App Service
    "X-MS-Client-Principal-ID",
    "X-MS-Client-Principal-Name",
    "X-MS-Client-Principal-IDP",
    "Cf-Access-Authenticated-User-Email",  # Cloudflare Access
    "Tailscale-User-Login",  # tailscale serve
    "Tailscale-User-Name",
    "X-authentik-username",  # authentik's proxy provider
    "X-authentik-groups",
    "X-authentik-entitlements",
    "X-authentik-email",
    "X-authentik-name",
    "X-authentik-uid",
    "X-authentik-jwt",
    "X-Vouch-User",  # Vouch Proxy; its claims are named as configured, these are the usual ones
    "X-Vouch-IdP-IdToken",
    "X-Vouch-IdP-AccessToken",
    "X-Vouch-IdP-Claims-Sub",
    "X-Vouch-IdP-Claims-Name",
    "X-Vouch-IdP-Claims-Email",
    "X-Vouch-IdP-Claims-Groups",
    "X-Pomerium-Jwt-Assertion",  # Pomerium; X-Pomerium-Claim-* likewise
    "X-Pomerium-Jwt-Assertion-For",
    "X-Pomerium-Claim-Email",
    "X-Pomerium-Claim-Groups",
    "X-Pomerium-Claim-Name",
    "X-Pomerium-Claim-User",
    "X-Pomerium-Claim-Sub",
    "X-Auth-Username",  # Louketo (Keycloak Gatekeeper); X-Auth-Email and -Token callers send as well
    "X-Auth-Userid",
    "X-Auth-Groups",
    "X-Auth-Roles",
    "X-Auth-Subject",
    "X-Token-Subject",  # caddy-security
    "X-Token-User-Name",
    "X-Token-User-Email",
    "X-Token-User-Roles",
    "X-Userinfo",  # OpenID Connect in APISIX and Kong
    "X-Client-Cert-Pem",  # Otoroshi
    "X-Client-Cert-DNs",
    # Usual names in configurations written by hand
    "X-Client-Cert-DER",
    "X-Forwarded-Client-Certificate",
    "X-Forwarded-Client-DN",
    "X-Forwarded-Client-Verify",
    "SSL-Client-DN",  # flask-tlsauth
)

FORWARDING_HEADERS: tuple[str, ...] = (
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "Client-IP",  # what PHP programs read as HTTP_CLIENT_IP
    "Proxy-Client-IP",  # WebLogic
    "WL-Proxy-Client-IP",
    "Fastly-Client-IP",
    "X-Azure-ClientIP",  # Azure Front Door
    "X-Azure-SocketIP",
    "HTTP2-Settings",
    "Forwarded",
    "X-Forwarded-Access-Token",
    "X-Forwarded-By",
    "X-Forwarded-Context",  # Knox, NiFi
    "X-ProxyContextPath",
    "X-Forwarded-Client-IP",
    "X-Forwarded-Email",
    "X-Forwarded-For",
    "X-Forwarded-Groups",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Path",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Roles",  # Rundeck, preauthenticated
    "X-Forwarded-Uuid",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Uri",
    "X-Forwarded-User",
    "X-Real-IP",
    "X-Original-Forwarded-For",
    "X-Original-Host",
    "X-Original-URL",
    "X-Original-URI",  # nginx's documentation of auth_request
    "X-Original-Method",  # ingress-nginx, external authentication
    "X-Rewrite-URL",
    "X-Replaced-Path",  # Traefik
    "X-Script-Name",  # Radicale, Werkzeug's recipe of a proxied application
    "X-Scheme",  # ingress-nginx
    "X-Url-Scheme",  # Drupal and older Python servers
    "Front-End-Https",  # Microsoft's ISA Server and Exchange, Ruby's Rack
    "X-Envoy-Original-Path",  # Envoy, as all of them
    "X-Envoy-Original-Host",
    "X-Envoy-External-Address",
    "X-Envoy-Internal",
    "X-Middleware-Subrequest",  # Next.js skips its middleware for it (CVE-2025-29927)
    "Proxy",  # becomes HTTP_PROXY in CGI (httpoxy)
)
