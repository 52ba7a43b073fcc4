"""The addresses of the pages about aliases, groups, presence and blocks; part of the namespace `accounts`."""

from django.urls import path

from . import aliases, groups, privacy

urlpatterns = [
    path("account/aliases/", aliases.aliases, name="aliases"),
    path("account/aliases/<int:pk>/drop/", aliases.drop_alias, name="alias_drop"),
    path("account/presence/", privacy.presence, name="presence"),
    path("account/blocked/", privacy.blocked, name="blocked"),
    path("account/blocked/<int:pk>/unblock/", privacy.unblock, name="unblock"),
    path("account/block/<uid>/", privacy.block, name="block"),
    path("groups/", groups.groups, name="groups"),
    path("groups/new/", groups.new_group, name="group_new"),
    path("groups/<int:pk>/", groups.group, name="group"),
    path("groups/<int:pk>/join/", groups.join_group, name="group_join"),
    path("groups/<int:pk>/name/", groups.rename_in_group, name="group_name"),
    path("groups/<int:pk>/invite/", groups.invite_to_group, name="group_invite"),
    path("groups/<int:pk>/leave/", groups.leave_group, name="group_leave"),
]
