/* What a link leads to is unfolded. */
const unfold = (element) => {
  for (let at = element; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
};
const follow = () => {
  const aim = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!aim) return;
  unfold(aim);
  aim.scrollIntoView();
};
addEventListener("hashchange", follow);
if (location.hash) follow();
