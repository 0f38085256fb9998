(function () {
  var form = document.querySelector("form"), query = new URLSearchParams(window.location.search), notice = null;
  function tell(text) {
    if (!notice) {
      notice = document.createElement("p");
      notice.className = "notice error";
      notice.setAttribute("role", "alert");
      form.parentNode.insertBefore(notice, form);
    }
    notice.textContent = text;
  }
  function hand(session) {
    if (window.matrixLogin && window.matrixLogin.onLogin) { window.matrixLogin.onLogin(session); }
    else if (window.onLogin) { window.onLogin(session); }
  }
  function login(body) {
    if (query.get("device_id")) { body.device_id = query.get("device_id"); }
    if (query.get("initial_device_display_name")) { body.initial_device_display_name = query.get("initial_device_display_name"); }
    fetch("/_matrix/client/v3/login", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
      .then(function (answer) { return answer.json().then(function (data) { if (answer.ok) { hand(data); } else { tell(data.error || String(answer.status)); } }); })
      .catch(function (error) { tell(String(error)); });
  }
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    login({ type: "m.login.password", identifier: { type: "m.id.user", user: form.elements.user.value }, password: form.elements.password.value });
  });
  if (query.get("loginToken")) { login({ type: "m.login.token", token: query.get("loginToken") }); }
})();
