"""URL patterns of the pages about devices, names, groups, presence and blocks.

path("", include("tmtp.pages.urls"))
"""

from django.urls import path

from .views import abuse, aliases, data, devices, group_members, groups, privacy

app_name = "tmtp_pages"

urlpatterns = [
    path("devices/", devices.devices, name="devices"),
    path("devices/new/", devices.new_device, name="device_new"),
    path("devices/<int:pk>/", devices.device, name="device"),
    path("devices/<int:pk>/drop/", devices.drop_device, name="device_drop"),
    path("account/aliases/", aliases.aliases, name="aliases"),
    path("account/aliases/<int:pk>/drop/", aliases.drop_alias, name="alias_drop"),
    path("account/presence/", privacy.presence, name="presence"),
    path("account/blocked/", privacy.blocked, name="blocked"),
    path("account/blocked/<int:pk>/unblock/", privacy.unblock, name="unblock"),
    path("account/block/<uid>/", privacy.block, name="block"),
    path("account/report/<uid>/", abuse.report_member, name="report_member"),
    path("account/data/", data.data, name="data"),
    path("account/data/export/", data.export, name="export"),
    path("account/data/delete/", data.delete_account, name="delete_account"),
    path("account/data/keep/", data.keep_account, name="keep_account"),
    path("account/data/keep/<token>/", data.deletion_cancel, name="deletion_cancel"),
    path("groups/", groups.groups, name="groups"),
    path("groups/new/", groups.new_group, name="group_new"),
    path("groups/open/", groups.open_groups, name="groups_open"),
    path("groups/<int:pk>/", groups.group, name="group"),
    path("groups/<int:pk>/join/", groups.join_group, name="group_join"),
    path("groups/<int:pk>/name/", groups.rename_in_group, name="group_name"),
    path("groups/<int:pk>/invite/", groups.invite_to_group, name="group_invite"),
    path("groups/<int:pk>/leave/", groups.leave_group, name="group_leave"),
    path("groups/<int:pk>/report/", abuse.report_group, name="report_group"),
    path("groups/<int:pk>/rules/", group_members.rules, name="group_rules"),
    path("groups/<int:pk>/members/<int:member>/", group_members.member, name="group_member"),
    path("groups/<int:pk>/members/<int:member>/role/", group_members.set_role, name="group_role"),
    path("groups/<int:pk>/members/<int:member>/bar/", group_members.bar, name="group_bar"),
]
